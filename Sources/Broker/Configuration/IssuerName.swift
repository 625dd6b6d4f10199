package import JOSE
package import SPIFFE

/// The name of who vouches for subjects: an issuer's short name, or a trust domain as the SPIFFE ID of itself.
///
/// An issuer's is `[a-z][a-z0-9-]{0,62}` and not `spiffe`; its subjects are `name:sub`. A trust domain's is
/// `spiffe://domain`; its subjects are their SPIFFE IDs. Neither name, and neither kind of subject, can be mistaken for the
/// other.
package struct IssuerName: Sendable, CustomStringConvertible {
    package let text: ExactString
    /// Nil for an OIDC issuer.
    package let trustDomain: TrustDomain?

    /// An OIDC issuer's.
    /// - Returns: nil unless `text` has the form above.
    package init?(parsing text: String) {
        let bytes = Array(text.utf8)
        let isLetter = { (byte: UInt8) in (0x61...0x7A).contains(byte) }
        guard (1...63).contains(bytes.count), isLetter(bytes[0]), text != "spiffe",
            bytes.allSatisfy({ isLetter($0) || (0x30...0x39).contains($0) || $0 == UInt8(ascii: "-") })
        else { return nil }
        self.text = ExactString(text)
        trustDomain = nil
    }

    package init(_ trustDomain: TrustDomain) {
        text = ExactString("spiffe://\(trustDomain)")
        self.trustDomain = trustDomain
    }

    /// Either kind, as a record has it.
    package init?(recorded text: ExactString) {
        if let id = try? SPIFFEID(parsing: text), !id.isWorkload {
            self.init(id.trustDomain)
        } else {
            self.init(parsing: text.string)
        }
    }

    /// Of whoever vouches for `subject`.
    package init?(of subject: ExactString) {
        if let id = try? SPIFFEID(parsing: subject) {
            self.init(id.trustDomain)
        } else {
            self.init(parsing: String(subject.string.prefix { $0 != ":" }))
        }
    }

    package var description: String { text.string }
}

extension IssuerName: Hashable {
    package static func == (one: IssuerName, other: IssuerName) -> Bool { one.text == other.text }

    package func hash(into hasher: inout Hasher) { hasher.combine(text) }
}
