import OpenSSL

extension TrustBundle {
    /// A bundle of certificates in PEM (RFC 7468). Text between the blocks is a comment. Text of white space alone is the
    /// bundle that trusts nobody.
    /// - Throws: also when a block is not a certificate that can be read. A certificate that can be read and is not
    ///   acceptable is among `ignored`.
    package init(pem: [UInt8], of trustDomain: TrustDomain) throws(TrustBundleFailure) {
        guard pem.count <= Self.maximumLength else { throw .tooLong }
        var entries: [Entry] = []
        var ignored: [Ignored] = []
        for (index, block) in try PEMBlocks.certificates(in: pem).enumerated() {
            let certificate: Certificate
            do throws(CertificateFailure) {
                certificate = try Certificate(der: block)
            } catch {
                guard error.isCertificate else { throw .certificate(index: index, error) }
                ignored.append(Ignored(index: index, reason: .certificate(error)))
                continue
            }
            do throws(SigningCertificateFailure) {
                try SigningCertificateRules.check(certificate)
                entries.append(.authority(certificate))
            } catch {
                ignored.append(Ignored(index: index, reason: .rule(error)))
            }
        }
        try self.init(trustDomain: trustDomain, entries: entries, ignored: ignored)
    }
}

extension CertificateFailure {
    /// Whether it is a certificate, though none that we use, and not damaged text.
    fileprivate var isCertificate: Bool {
        switch self {
        case .malformed, .encoding, .length: false
        default: true
        }
    }
}

/// The blocks of a PEM text, each line of which stands alone.
package enum PEMBlocks {
    private static let begin = Array("-----BEGIN CERTIFICATE-----".utf8)
    private static let end = Array("-----END CERTIFICATE-----".utf8)
    private static let anyBoundary = Array("-----".utf8)

    /// The DER of each certificate.
    package static func certificates(in pem: [UInt8]) throws(TrustBundleFailure) -> [[UInt8]] {
        var certificates: [[UInt8]] = []
        var digits: [UInt8]?
        var hasText = false
        for line in pem.split(whereSeparator: { $0 == 0x0A || $0 == 0x0D }) {
            let line = line.trimmed
            guard !line.isEmpty else { continue }
            hasText = true
            if let collected = digits {
                if line.elementsEqual(end) {
                    guard let der = Base64.decode(collected) else { throw .pem }
                    guard certificates.count < TrustBundle.maximumEntries else { throw .tooManyEntries }
                    certificates.append(der)
                    digits = nil
                } else {
                    digits?.append(contentsOf: line)
                }
            } else if line.elementsEqual(begin) {
                digits = []
            } else if line.starts(with: anyBoundary) {
                throw .pemBlock
            }
        }
        guard digits == nil, !certificates.isEmpty || !hasText else { throw .pem }
        return certificates
    }
}

extension ArraySlice<UInt8> {
    /// Without the spaces and tabs around it.
    fileprivate var trimmed: ArraySlice<UInt8> {
        func isSpace(_ byte: UInt8) -> Bool { byte == 0x20 || byte == 0x09 }
        var slice = drop(while: isSpace)
        while let last = slice.last, isSpace(last) { slice.removeLast() }
        return slice
    }
}
