package import JOSE
package import SPIFFE

/// A gateway token whose signature was good, as it is remembered: what it says, and nothing of its text. Immutable.
///
/// One allocation of some 130 bytes, and a reference to what it has in common with others. Almost all tokens are plain and
/// fit that form; of the others (with actors, or with ids, keys or moments that no mint makes) the claims are kept as they
/// are. Nothing that a token says gets lost either way.
@safe package struct VerifiedToken: @unchecked Sendable {
    // Sendable: nothing changes the storage after `init`, and what it refers to is Sendable.
    private let storage: Storage

    /// Behind the head of a plain token stand the subject's bytes, and then, where it has any, its `Ties`.
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
        /// The length in 14 bits, and then whether the subject is sent as it is, and whether there are `Ties`.
        private let packed: UInt16

        static let maximumSubjectLength = 1 << 14 - 1

        init(
            _ kind: Kind, tokenID: (UInt64, UInt64) = (0, 0), sessionID: (UInt64, UInt64) = (0, 0),
            issuedAt: UInt32 = 0,
            lifetime: UInt32 = 0, revision: UInt32 = 0, subjectLength: Int = 0, isSubjectPlain: Bool = false,
            hasTies: Bool = false
        ) {
            self.kind = kind
            self.tokenID = tokenID
            self.sessionID = sessionID
            self.issuedAt = issuedAt
            self.lifetime = lifetime
            self.revision = revision
            packed = UInt16(subjectLength) | (isSubjectPlain ? 1 << 14 : 0) | (hasTies ? 1 << 15 : 0)
        }

        var subjectLength: Int { Int(packed & 0x3FFF) }
        var isSubjectPlain: Bool { packed & 1 << 14 != 0 }
        var hasTies: Bool { packed & 1 << 15 != 0 }
    }

    /// A single pointer.
    private enum Kind {
        case plain(VerifiedGrant)
        case special(SpecialToken)
    }

    /// - Parameter grants: where its grant is looked up; nil makes one for it alone.
    init(_ claims: GatewayClaims, from grants: VerifiedGrants?) {
        let content = VerifiedGrant.Content(
            audience: claims.audience, rule: claims.rule, keyID: claims.keyID, scope: claims.scope,
            models: claims.models)
        let grant = grants?.grant(content) ?? VerifiedGrants.unshared(content)
        let head: Head
        var tail: [UInt8] = []
        if claims.isPlain, let tokenID = Self.raw(claims.tokenID), let sessionID = Self.raw(claims.sessionID),
            let issuedAt = UInt32(exactly: claims.issuedAt),
            let lifetime = UInt32(exactly: claims.expiry - claims.issuedAt),
            Double(issuedAt) + Double(lifetime) == claims.expiry, let revision = UInt32(exactly: claims.revision),
            claims.subject.utf8.count <= Head.maximumSubjectLength, let ties = Ties(claims)
        {
            tail = Array(claims.subject.utf8) + ties.bytes
            head = Head(
                .plain(grant), tokenID: tokenID, sessionID: sessionID, issuedAt: issuedAt, lifetime: lifetime,
                revision: revision, subjectLength: claims.subject.utf8.count,
                isSubjectPlain: claims.subject.utf8.allSatisfy(HeaderValue.isPlain), hasTies: !ties.bytes.isEmpty)
        } else {
            head = Head(.special(SpecialToken(claims, grant)))
        }
        let buffer = Storage.create(minimumCapacity: tail.count) { _ in head }
        storage = unsafe unsafeDowncast(buffer, to: Storage.self)
        unsafe storage.withUnsafeMutablePointerToElements { elements in
            for (index, byte) in tail.enumerated() { unsafe elements[index] = byte }
        }
    }

    /// What makes a token good only together with something else, as bytes: how many sessions stand above its own, how many
    /// ancestor keys it has, and whether it is bound; then their ids and thumbprints, and the certificate's. Empty where there
    /// is none of all that.
    private struct Ties {
        static let headLength = 3
        static let sessionLength = 16
        static let digestLength = 32

        let bytes: [UInt8]

        /// - Returns: nil where an id is not of the form that we make.
        init?(_ claims: GatewayClaims) {
            let ancestors = claims.lineage.dropLast()
            guard !ancestors.isEmpty || !claims.ancestorKeys.isEmpty || claims.binding != nil else {
                bytes = []
                return
            }
            guard claims.lineage.last == claims.sessionID, let sessions = UInt8(exactly: ancestors.count),
                let keys = UInt8(exactly: claims.ancestorKeys.count)
            else { return nil }
            var bytes = [sessions, keys, claims.binding == nil ? 0 : 1]
            for (ids, length) in [(Array(ancestors), Self.sessionLength), (claims.ancestorKeys, Self.digestLength)] {
                for id in ids {
                    guard let raw = try? Base64URL.decode(id), raw.count == length else { return nil }
                    bytes += raw
                }
            }
            self.bytes = bytes + (claims.binding?.bytes ?? [])
        }

        init(_ bytes: UnsafeBufferPointer<UInt8>) {
            let length = unsafe Self.length(bytes)
            self.bytes = unsafe Array(bytes.prefix(length))
        }

        static func length(_ bytes: UnsafeBufferPointer<UInt8>) -> Int {
            unsafe headLength + sessionLength * Int(bytes[0]) + digestLength * (Int(bytes[1]) + Int(bytes[2]))
        }

        /// Where the certificate's digest stands; nil where there is none.
        static func binding(_ bytes: UnsafeBufferPointer<UInt8>) -> UnsafeBufferPointer<UInt8>? {
            guard unsafe bytes[2] == 1 else { return nil }
            let end = unsafe length(bytes)
            return unsafe UnsafeBufferPointer(rebasing: bytes[(end - digestLength)..<end])
        }

        var ancestors: [ExactString] { ids(from: Self.headLength, count: Int(bytes[0]), Self.sessionLength) }

        var ancestorKeys: [ExactString] {
            ids(from: Self.headLength + Self.sessionLength * Int(bytes[0]), count: Int(bytes[1]), Self.digestLength)
        }

        private func ids(from start: Int, count: Int, _ length: Int) -> [ExactString] {
            (0..<count).map { number in
                let first = start + number * length
                return ExactString(Base64URL.encode(Array(bytes[first..<first + length])))
            }
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

        init(_ claims: GatewayClaims, _ grant: VerifiedGrant) {
            var claims = claims
            claims.share(grant.content)
            self.claims = claims
            self.grant = grant
            let texts =
                [claims.subject, claims.sessionID, claims.tokenID] + claims.lineage + claims.ancestorKeys
                + claims.actors
            // Texts with what holds them; who acts also as values of JSON, with texts of their own.
            cost = 512 + texts.reduce(0) { $0 + $1.utf8.count + 64 } + 6 * (claims.actor?.encoded().count ?? 0)
        }
    }

    /// Whether it has the small form.
    var isPlain: Bool {
        if case .plain = storage.header.kind { true } else { false }
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
                revision: UInt64(storage.header.revision), issuedAt: issuedAt, expiry: expiry,
                ancestors: ties?.ancestors ?? [], ancestorKeys: ties?.ancestorKeys ?? [], binding: binding)
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
        case .plain:
            unsafe withBinding { digest in unsafe digest.flatMap { unsafe CertificateFingerprint(bytes: Array($0)) } }
        }
    }

    package var rule: ExactString { grant.content.rule }
    package var scope: [Scope] { grant.content.scope }
    package var models: [Glob]? { grant.content.models }
    package var keyID: ExactString { grant.content.keyID }

    /// Whether any of its scopes is one of the broker's own.
    var isForBroker: Bool { scope.contains(where: \.isReserved) }

    /// Whether whoever has that certificate, or none, may use it. Allocates nothing.
    func mayBeUsed(with certificate: CertificateFingerprint?) -> Bool {
        switch storage.header.kind {
        case .special(let special): special.claims.mayBeUsed(with: certificate)
        case .plain:
            unsafe withBinding { digest in
                guard let digest = unsafe digest else { return true }
                guard let certificate else { return false }
                return unsafe digest.elementsEqual(certificate.bytes)
            }
        }
    }

    /// Why it is not good at that moment, in seconds since 1970. No leeway: they are our own clocks and our own tokens.
    func fault(at seconds: Double) -> Denial.TokenFault? {
        guard seconds < expiry else { return .expired }
        return seconds >= notBefore ? nil : .notYetValid
    }

    /// Bytes of memory that it takes and shares with no other, as the allocator rounds them.
    var cost: Int {
        let tail = unsafe withTies { bytes in
            storage.header.subjectLength + (unsafe bytes.map { unsafe Ties.length($0) } ?? 0)
        }
        let own = (16 + MemoryLayout<Head>.size + tail + 8 + 15) & ~15
        switch storage.header.kind {
        case .plain(let grant): return own + (grant.isShared ? 0 : grant.cost)
        case .special(let special): return own + special.cost + (special.grant.isShared ? 0 : special.grant.cost)
        }
    }

    /// Calls `body` with the subject's bytes, of a plain token.
    private func withSubject<Value>(_ body: (UnsafeBufferPointer<UInt8>) -> Value) -> Value {
        let count = storage.header.subjectLength
        return unsafe storage.withUnsafeMutablePointerToElements { elements in
            unsafe body(UnsafeBufferPointer(start: elements, count: count))
        }
    }

    /// Calls `body` with what begins with the ties of a plain token; with nil where it has none.
    private func withTies<Value>(_ body: (UnsafeBufferPointer<UInt8>?) -> Value) -> Value {
        guard storage.header.hasTies else { return body(nil) }
        let start = storage.header.subjectLength
        let length = storage.capacity - start
        return unsafe storage.withUnsafeMutablePointerToElements { elements in
            unsafe body(UnsafeBufferPointer(start: elements + start, count: length))
        }
    }

    private var ties: Ties? { unsafe withTies { bytes in unsafe bytes.map { unsafe Ties($0) } } }

    /// Calls `body` with the digest of a plain token's certificate.
    private func withBinding<Value>(_ body: (UnsafeBufferPointer<UInt8>?) -> Value) -> Value {
        unsafe withTies { bytes in unsafe body(bytes.flatMap { unsafe Ties.binding($0) }) }
    }
}

// MARK: The answer to a gateway

extension VerifiedToken {
    /// How many bytes `writeAnswerFields(into:)` writes at most.
    package var answerFieldsCapacity: Int {
        switch storage.header.kind {
        case .plain(let grant):
            Self.fixedAnswerLength + 3 * storage.header.subjectLength + grant.answerFields.count
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
