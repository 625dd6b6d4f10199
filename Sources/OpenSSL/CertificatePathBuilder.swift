import COpenSSL

/// One run of OpenSSL's path validation over given certificates.
struct CertificatePathBuilder {
    let leaf: Certificate
    let intermediates: [Certificate]
    let roots: [Certificate]

    enum Outcome {
        case found([Certificate])
        /// `wrongRoot` has the right name, and did not sign the certificate below it.
        case failed(CertificatePathFailure, wrongRoot: Certificate?)
    }

    /// - Parameter now: in seconds since 1970, rounded down: a certificate is valid from its first second on, and not
    ///   any more at its last one.
    func build(for purpose: CertificatePath.Purpose, at now: Int) -> Outcome {
        OpenSSLError.clear()
        defer { OpenSSLError.clear() }
        return withExtendedLifetime((leaf, intermediates, roots)) {
            guard let context = unsafe X509_STORE_CTX_new() else { return .failed(.init(.resources), wrongRoot: nil) }
            defer { unsafe X509_STORE_CTX_free(context) }
            guard let untrusted = unsafe Self.stack(intermediates) else {
                return .failed(.init(.resources), wrongRoot: nil)
            }
            defer { unsafe daypass_stack_free(untrusted) }
            guard let trusted = unsafe Self.stack(roots) else { return .failed(.init(.resources), wrongRoot: nil) }
            defer { unsafe daypass_stack_free(trusted) }
            guard unsafe X509_STORE_CTX_init(context, nil, leaf.handle.pointer, untrusted) == 1,
                let parameters = unsafe X509_STORE_CTX_get0_param(context),
                unsafe Self.configure(parameters, purpose, now)
            else { return .failed(.init(.resources), wrongRoot: nil) }
            unsafe X509_STORE_CTX_set0_trusted_stack(context, trusted)
            let done = unsafe X509_verify_cert(context) == 1
            let chain = unsafe certificates(of: X509_STORE_CTX_get0_chain(context))
            if done { return .found(chain) }
            return unsafe failure(context, chain)
        }
    }

    private static func configure(
        _ parameters: OpaquePointer, _ purpose: CertificatePath.Purpose, _ now: Int
    ) -> Bool {
        // Never X509_V_FLAG_X509_STRICT: it refuses certificates that SPIRE makes. What of it matters is checked by us.
        let flags = daypass_partial_chain | daypass_trusted_first | daypass_policy_check
        let value =
            switch purpose {
            case .tlsClient: daypass_purpose_client
            case .tlsServer: daypass_purpose_server
            }
        unsafe X509_VERIFY_PARAM_set_time(parameters, now)
        // What stands between leaf and root.
        unsafe X509_VERIFY_PARAM_set_depth(parameters, Int32(CertificatePath.maximumLength - 2))
        // 112 bits of security.
        unsafe X509_VERIFY_PARAM_set_auth_level(parameters, 2)
        return unsafe X509_VERIFY_PARAM_set_flags(parameters, flags) == 1
            && X509_VERIFY_PARAM_set_purpose(parameters, value) == 1
    }

    /// - Returns: a stack that borrows the certificates.
    private static func stack(_ certificates: [Certificate]) -> OpaquePointer? {
        guard let stack = unsafe daypass_stack_new() else { return nil }
        for certificate in certificates
        where unsafe daypass_stack_push(stack, certificate.handle.pointer) != 1 {
            unsafe daypass_stack_free(stack)
            return nil
        }
        return unsafe stack
    }

    /// The certificates of a chain, which are all among those that were given.
    private func certificates(of chain: OpaquePointer?) -> [Certificate] {
        let given = roots + [leaf] + intermediates
        return unsafe (0..<daypass_stack_count(chain)).compactMap { index in
            let pointer = unsafe daypass_stack_value(chain, index)
            return given.first { unsafe $0.handle.pointer == pointer }
        }
    }

    private func failure(_ context: OpaquePointer, _ chain: [Certificate]) -> Outcome {
        let code = unsafe X509_STORE_CTX_get_error(context)
        let position = unsafe Int(X509_STORE_CTX_get_error_depth(context))
        let failure = CertificatePathFailure(.init(code), at: position)
        let isBelowRoot = position == chain.count - 2
        guard failure.reason == .signature, isBelowRoot, let top = chain.last,
            roots.contains(where: { $0.handle === top.handle })
        else { return .failed(failure, wrongRoot: nil) }
        return .failed(failure, wrongRoot: top)
    }
}
