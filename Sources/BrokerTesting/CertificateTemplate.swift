package import FoundationEssentials
package import OpenSSL

/// What a certificate is to say, true or not.
package struct CertificateTemplate: Sendable {
    /// The common name; empty for an empty subject.
    package var subject: String
    package var notBefore: Date
    package var notAfter: Date
    package var extensions: [CertificateExtension]
    /// A SubjectPublicKeyInfo.
    package var publicKey: [UInt8]
    package var serial: UInt64 = 1
    /// An AlgorithmIdentifier other than the one with which it is signed.
    package var claimedAlgorithm: [UInt8]?

    /// A leaf as SPIFFE wants it.
    package init(workload id: String, publicKey: [UInt8], at now: Date = ManualClock().now) {
        self.init(subject: "workload", publicKey: publicKey, at: now)
        extensions = [
            .basicConstraints(isAuthority: false), .keyUsage([.digitalSignature]),
            .extendedKeyUsage([.server, .client]), .names([.uri(id)]),
        ]
    }

    /// A signing certificate as SPIFFE wants it.
    /// - Parameter id: its SPIFFE ID, if it has one.
    package init(authority name: String, id: String?, publicKey: [UInt8], at now: Date = ManualClock().now) {
        self.init(subject: name, publicKey: publicKey, at: now)
        extensions = [.basicConstraints(isAuthority: true), .keyUsage([.keyCertSign, .crlSign])]
        if let id { extensions.append(.names([.uri(id)])) }
    }

    private init(subject: String, publicKey: [UInt8], at now: Date) {
        self.subject = subject
        self.publicKey = publicKey
        notBefore = now.addingTimeInterval(-3600)
        notAfter = now.addingTimeInterval(3600)
        extensions = []
    }

    /// The same with an extension in the place of the one of its kind, or added.
    package func with(_ replacement: CertificateExtension) -> CertificateTemplate {
        var copy = self
        copy.extensions.removeAll { $0.object == replacement.object }
        copy.extensions.append(replacement)
        return copy
    }

    package func without(_ kind: CertificateExtension) -> CertificateTemplate {
        var copy = self
        copy.extensions.removeAll { $0.object == kind.object }
        return copy
    }

    /// The certificate, signed by a key on P-256.
    package func signed(by key: PrivateKey, named issuer: String) throws -> [UInt8] {
        let algorithm = claimedAlgorithm ?? DER.sequence(DER.object(1, 2, 840, 10045, 4, 3, 2))
        let body = DER.sequence(
            DER.value(0xA0, DER.integer(2)), DER.integer(serial), algorithm, Self.name(issuer),
            DER.sequence(Self.time(notBefore), Self.time(notAfter)), Self.name(subject), publicKey,
            DER.value(0xA3, DER.value(0x30, extensions.flatMap(\.encoded))))
        let raw = try key.signature(over: body.span, scheme: .ecdsa(.p256, .sha256))
        let signature = DER.sequence(DER.integer(Array(raw.prefix(32))), DER.integer(Array(raw.suffix(32))))
        return DER.sequence(body, algorithm, DER.bits(signature))
    }

    private static func name(_ text: String) -> [UInt8] {
        text.isEmpty
            ? DER.sequence() : DER.sequence(DER.set(DER.sequence(DER.object(2, 5, 4, 3), DER.text(text))))
    }

    /// UTCTime until 2049 (RFC 5280 §4.1.2.5).
    private static func time(_ date: Date) -> [UInt8] {
        let text: String = date.formatted(.iso8601)
        let digits: [UInt8] = text.utf8.filter { byte in (0x30...0x39).contains(byte) }
        return digits.starts(with: "20".utf8) && digits[2] < UInt8(ascii: "5")
            ? DER.value(0x17, digits.dropFirst(2) + Array("Z".utf8)) : DER.value(0x18, digits + Array("Z".utf8))
    }
}

/// An extension with any content.
package struct CertificateExtension: Sendable {
    package let object: [UInt8]
    package var isCritical: Bool
    package var content: [UInt8]

    package init(_ object: [UInt8], isCritical: Bool, _ content: [UInt8]) {
        self.object = object
        self.isCritical = isCritical
        self.content = content
    }

    var encoded: [UInt8] {
        DER.sequence(object, isCritical ? DER.bool(true) : [], DER.octets(content))
    }

    package enum Use: Int, Sendable {
        case digitalSignature = 0
        case keyEncipherment = 2
        case keyCertSign = 5
        case crlSign = 6
    }

    package enum Purpose: Int, Sendable {
        case server = 1, client, codeSigning
    }

    package enum Name: Sendable {
        case uriBytes([UInt8]), dnsBytes([UInt8])

        package static func uri(_ text: String) -> Name { .uriBytes(Array(text.utf8)) }
        package static func dns(_ text: String) -> Name { .dnsBytes(Array(text.utf8)) }

        var encoded: [UInt8] {
            switch self {
            case .uriBytes(let bytes): DER.value(0x86, bytes)
            case .dnsBytes(let bytes): DER.value(0x82, bytes)
            }
        }
    }

    package static func basicConstraints(
        isAuthority: Bool, pathLength: UInt64? = nil, isCritical: Bool = true
    ) -> CertificateExtension {
        let content = DER.sequence(isAuthority ? DER.bool(true) : [], pathLength.map { DER.integer($0) } ?? [])
        return .init(DER.object(2, 5, 29, 19), isCritical: isCritical, content)
    }

    package static func keyUsage(_ uses: [Use], isCritical: Bool = true) -> CertificateExtension {
        .init(DER.object(2, 5, 29, 15), isCritical: isCritical, DER.namedBits(uses.map(\.rawValue)))
    }

    package static func extendedKeyUsage(_ purposes: [Purpose], any: Bool = false) -> CertificateExtension {
        let objects = purposes.map { DER.object(1, 3, 6, 1, 5, 5, 7, 3, $0.rawValue) }
        let content = Array((objects + (any ? [DER.object(2, 5, 29, 37, 0)] : [])).joined())
        return .init(DER.object(2, 5, 29, 37), isCritical: false, DER.value(0x30, content))
    }

    package static func names(_ names: [Name], isCritical: Bool = false) -> CertificateExtension {
        .init(DER.object(2, 5, 29, 17), isCritical: isCritical, DER.value(0x30, names.flatMap(\.encoded)))
    }

    package static func nameConstraints(permitted: [Name] = [], excluded: [Name] = []) -> CertificateExtension {
        func subtrees(_ tag: UInt8, _ names: [Name]) -> [UInt8] {
            names.isEmpty ? [] : DER.value(tag, names.flatMap { DER.sequence($0.encoded) })
        }
        return .init(
            DER.object(2, 5, 29, 30), isCritical: true,
            DER.sequence(subtrees(0xA0, permitted), subtrees(0xA1, excluded)))
    }
}
