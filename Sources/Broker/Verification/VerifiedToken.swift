package import JOSE
package import SPIFFE

/// A gateway token whose signature was good, as it is remembered: what it says, and nothing of its text. Immutable.
///
/// One allocation of some 130 bytes, and a reference to what it has in common with others. Almost all tokens are plain and
/// fit that form; of the others (with actors, ancestor keys, a certificate, a session below another, or ids that no mint
/// makes) the claims are kept as they are. Nothing that a token says gets lost either way.
@safe package struct VerifiedToken: @unchecked Sendable {
    // Sendable: nothing changes the storage after `init`, and what it refers to is Sendable.
    private let storage: Storage

    /// The subject's bytes stand behind the head.
    private final class Storage: ManagedBuffer<Head, UInt8> {}

    private struct Head {
        let kind: Kind
        /// 16 raw bytes each; zero where the token is not plain.
        let tokenID: (UInt64, UInt64)
        let sessionID: (UInt64, UInt64)
        /// Of plain tokens, in seconds; `nbf` is `iat`.
        let issuedAt: UInt32
        let lifetime: UInt32
        let revision: UInt32
        let subjectLength: UInt16
        /// Whether the subject is sent as it is.
        let isSubjectPlain: Bool
    }

    /// A single pointer.
    private enum Kind {
        case plain(VerifiedGrant)
        case special(SpecialToken)
    }

    /// - Parameters:
    ///   - grants: where its grant is looked up; nil makes one for it alone.
    ///   - length: of the token's payload, in bytes.
    init(_ claims: GatewayClaims, from grants: VerifiedGrants?, payloadLength length: Int) {
        let content = VerifiedGrant.Content(
            audience: claims.audience, rule: claims.rule, keyID: claims.keyID, scope: claims.scope,
            models: claims.models)
        let grant = grants?.grant(content) ?? VerifiedGrants.unshared(content)
        let subject = claims.subject
        let count = subject.utf8.count
        let isPlain = subject.utf8.allSatisfy(HeaderValue.isPlain)
        let head: Head
        if claims.isPlain, let tokenID = Self.raw(claims.tokenID), let sessionID = Self.raw(claims.sessionID),
            let issuedAt = UInt32(exactly: claims.issuedAt),
            let lifetime = UInt32(exactly: claims.expiry - claims.issuedAt),
            Double(issuedAt) + Double(lifetime) == claims.expiry, let revision = UInt32(exactly: claims.revision),
            let subjectLength = UInt16(exactly: count)
        {
            head = Head(
                kind: .plain(grant), tokenID: tokenID, sessionID: sessionID, issuedAt: issuedAt, lifetime: lifetime,
                revision: revision, subjectLength: subjectLength, isSubjectPlain: isPlain)
        } else {
            head = Head(
                kind: .special(SpecialToken(claims, grant, payloadLength: length)), tokenID: (0, 0), sessionID: (0, 0),
                issuedAt: 0, lifetime: 0, revision: 0, subjectLength: 0, isSubjectPlain: isPlain)
        }
        let capacity = Int(head.subjectLength)
        let buffer = Storage.create(minimumCapacity: capacity) { _ in head }
        storage = unsafe unsafeDowncast(buffer, to: Storage.self)
        guard capacity > 0 else { return }
        let bytes = subject.utf8.span
        unsafe storage.withUnsafeMutablePointerToElements { elements in
            for index in 0..<capacity { unsafe elements[index] = bytes[index] }
        }
    }

    /// 16 bytes in canonical base64url, as every identifier that we make is.
    private static func raw(_ id: ExactString) -> (UInt64, UInt64)? {
        guard id.utf8.count == 22, let bytes = try? Base64URL.decode(id), bytes.count == 16 else { return nil }
        let words = stride(from: 0, to: 16, by: 8).map { start in
            bytes[start..<start + 8].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        }
        return (words[0], words[1])
    }

    private static func text(_ id: (UInt64, UInt64)) -> ExactString {
        var bytes: [UInt8] = []
        bytes.reserveCapacity(16)
        for word in [id.0, id.1] {
            for shift in stride(from: UInt64(56), through: 0, by: -8) {
                bytes.append(UInt8(truncatingIfNeeded: word >> shift))
            }
        }
        return ExactString(Base64URL.encode(bytes))
    }

    /// What a token is that is not plain.
    fileprivate final class SpecialToken: Sendable {
        let claims: GatewayClaims
        let grant: VerifiedGrant
        let cost: Int

        init(_ claims: GatewayClaims, _ grant: VerifiedGrant, payloadLength: Int) {
            self.claims = claims
            self.grant = grant
            // As text, and as values of JSON with texts of their own.
            cost = 1024 + 4 * payloadLength
        }
    }

    func isSame(as other: VerifiedToken) -> Bool { storage === other.storage }
}

// MARK: What it says

extension VerifiedToken {
    package var grant: VerifiedGrant {
        switch storage.header.kind {
        case .plain(let grant): grant
        case .special(let special): special.grant
        }
    }

    /// All of it, made anew: some allocations.
    package var claims: GatewayClaims {
        switch storage.header.kind {
        case .special(let special): special.claims
        case .plain(let grant):
            GatewayClaims(
                subject: subject, sessionID: sessionID, tokenID: tokenID, grant.content,
                revision: UInt64(storage.header.revision),
                issuedAt: issuedAt, expiry: expiry)
        }
    }

    package var subject: ExactString {
        switch storage.header.kind {
        case .special(let special): special.claims.subject
        case .plain: unsafe withSubject { bytes in unsafe ExactString(String(decoding: bytes, as: UTF8.self)) }
        }
    }

    package var sessionID: ExactString {
        switch storage.header.kind {
        case .special(let special): special.claims.sessionID
        case .plain: Self.text(storage.header.sessionID)
        }
    }

    package var tokenID: ExactString {
        switch storage.header.kind {
        case .special(let special): special.claims.tokenID
        case .plain: Self.text(storage.header.tokenID)
        }
    }

    /// Seconds since 1970.
    package var issuedAt: Double {
        switch storage.header.kind {
        case .special(let special): special.claims.issuedAt
        case .plain: Double(storage.header.issuedAt)
        }
    }

    package var notBefore: Double {
        switch storage.header.kind {
        case .special(let special): special.claims.notBefore
        case .plain: Double(storage.header.issuedAt)
        }
    }

    package var expiry: Double {
        switch storage.header.kind {
        case .special(let special): special.claims.expiry
        case .plain: Double(storage.header.issuedAt) + Double(storage.header.lifetime)
        }
    }

    /// The certificate without which it is good for nothing.
    package var binding: CertificateFingerprint? {
        switch storage.header.kind {
        case .special(let special): special.claims.binding
        case .plain: nil
        }
    }

    package var rule: ExactString { grant.content.rule }
    package var scope: [Scope] { grant.content.scope }
    package var models: [Glob]? { grant.content.models }
    package var keyID: ExactString { grant.content.keyID }

    /// Whether any of its scopes is one of the broker's own.
    var isForBroker: Bool { scope.contains(where: \.isReserved) }

    /// Whether whoever has that certificate, or none, may use it.
    func mayBeUsed(with certificate: CertificateFingerprint?) -> Bool {
        switch storage.header.kind {
        case .special(let special): special.claims.mayBeUsed(with: certificate)
        case .plain: true
        }
    }

    /// Why it is not good at that moment, in seconds since 1970. No leeway: they are our own clocks and our own tokens.
    func fault(at seconds: Double) -> Denial.TokenFault? {
        guard seconds < expiry else { return .expired }
        return seconds >= notBefore ? nil : .notYetValid
    }

    /// Bytes of memory that it takes and shares with no other, as the allocator rounds them.
    var cost: Int {
        let header = 16 + MemoryLayout<Head>.size
        let own = (header + Int(storage.header.subjectLength) + 8 + 15) & ~15
        switch storage.header.kind {
        case .plain(let grant): return own + (grant.isShared ? 0 : grant.cost)
        case .special(let special): return own + special.cost + (special.grant.isShared ? 0 : special.grant.cost)
        }
    }

    /// Calls `body` with the subject's bytes, of a plain token.
    private func withSubject<Value>(_ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        let count = Int(storage.header.subjectLength)
        return unsafe storage.withUnsafeMutablePointerToElements { elements in
            unsafe body(UnsafeBufferPointer(start: elements, count: count))
        }
    }
}

// MARK: The answer to a gateway

extension VerifiedToken {
    /// How many bytes `writeAnswerFields(into:)` writes at most.
    package var answerFieldsCapacity: Int {
        switch storage.header.kind {
        case .plain(let grant):
            Self.fixedAnswerLength + 3 * Int(storage.header.subjectLength) + grant.answerFields.count
        case .special(let special):
            Self.fixedAnswerLength + 3 * (special.claims.subject.utf8.count + special.claims.sessionID.utf8.count)
                + special.grant.answerFields.count
        }
    }

    /// Writes the header lines `Daypass-Subject`, `-Session`, `-Rule`, `-Scope` and `-Expires`, each with its end of line,
    /// percent-encoded as `HeaderValue` is. Allocates nothing for a plain token.
    /// - Parameter output: at least `answerFieldsCapacity` bytes.
    /// - Returns: how many bytes were written.
    package func writeAnswerFields(into output: UnsafeMutableRawBufferPointer) -> Int {
        precondition(output.count >= answerFieldsCapacity, "there is no room for the answer")
        var writer = unsafe AnswerWriter(output)
        writer.write("Daypass-Subject: ")
        switch storage.header.kind {
        case .plain(let grant):
            let isPlain = storage.header.isSubjectPlain
            unsafe withSubject { subject in
                if isPlain { unsafe writer.write(subject) } else { unsafe writer.writeEncoded(subject) }
            }
            writer.write("\r\nDaypass-Session: ")
            writer.writeBase64URL(storage.header.sessionID)
            writer.write("\r\n")
            unsafe grant.answerFields.withUnsafeBufferPointer { unsafe writer.write($0) }
        case .special(let special):
            writer.writeEncoded(special.claims.subject)
            writer.write("\r\nDaypass-Session: ")
            writer.writeEncoded(special.claims.sessionID)
            writer.write("\r\n")
            unsafe special.grant.answerFields.withUnsafeBufferPointer { unsafe writer.write($0) }
        }
        writer.write("Daypass-Expires: ")
        writer.write(decimal: Int64(expiry))
        writer.write("\r\n")
        return writer.count
    }

    /// Names, line ends, a session of 22 characters and a moment of at most 20.
    private static let fixedAnswerLength = 128
}
