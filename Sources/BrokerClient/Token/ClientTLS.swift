import NIOSSL

/// Whom a client trusts, and who it is.
struct ClientTLS: Sendable {
    /// PEM; the system's where it is nil.
    var authorities: String?
    /// PEM files: the chain, and its key.
    var certificate: (chain: String, key: String)?

    /// Whether there are files to read.
    var isNamed: Bool { authorities != nil || certificate != nil }

    /// - Throws: `unusable` for authorities, and `noIdentity` for a certificate or a key, that cannot be read.
    func context() throws(TokenFailure) -> NIOSSLContext {
        var settings = TLSConfiguration.makeClientConfiguration()
        if let authorities {
            do throws(ClientFailure) {
                let roots = try AdministrationClient.certificates(authorities)
                settings.trustRoots = .certificates(roots)
            } catch {
                if case .unusableAuthorities(let words) = error { throw .unusable("the authorities' file \(words)") }
                throw .unusable("the authorities' file \(authorities)")
            }
        }
        if let (chain, key) = certificate {
            settings.certificateChain = try Self.chain(chain)
            settings.privateKey = try Self.key(key)
        }
        do {
            return try NIOSSLContext(configuration: settings)
        } catch {
            throw .unusable("TLS cannot be set up: does the key belong to the certificate?")
        }
    }

    private static func chain(_ path: String) throws(TokenFailure) -> [NIOSSLCertificateSource] {
        let bytes = try SmallFile.read(path)
        guard let chain = try? NIOSSLCertificate.fromPEMBytes(bytes), !chain.isEmpty else {
            throw .noIdentity("\(path): it holds no certificate in PEM")
        }
        return chain.map { .certificate($0) }
    }

    private static func key(_ path: String) throws(TokenFailure) -> NIOSSLPrivateKeySource {
        let bytes = try SmallFile.read(path)
        // Without a passphrase: nobody is asked for one.
        guard let key = try? NIOSSLPrivateKey(bytes: bytes, format: .pem, passphraseCallback: { $0([UInt8]()) }) else {
            throw .noIdentity("\(path): it holds no private key in PEM, or one with a passphrase")
        }
        return .privateKey(key)
    }
}
