import COpenSSL
import Synchronization

/// The contexts with which one key signs or verifies: prepared once for each scheme, and copied for each use.
///
/// To prepare one costs a tenth to a sixth of the operation itself, for look-ups behind locks. At most as many are kept
/// as schemes fit a key: six. They are only read once they are here, which OpenSSL allows from any thread.
@safe final class OperationContexts: Sendable {
    enum Operation {
        case signing, verifying
    }

    private let operation: Operation
    private let prepared = Mutex<[SignatureScheme: Prepared]>([:])

    init(_ operation: Operation) {
        self.operation = operation
    }

    /// A context that the caller uses once and frees; nil where OpenSSL cannot make one.
    func context(_ scheme: SignatureScheme, _ key: KeyHandle) -> OpaquePointer? {
        // Without a digest a context cannot be copied.
        guard scheme.hash != nil else { return unsafe fresh(scheme, key) }
        guard let original = template(scheme, key), let copy = unsafe EVP_MD_CTX_new() else { return nil }
        guard unsafe EVP_MD_CTX_copy_ex(copy, original.pointer) == 1 else {
            unsafe EVP_MD_CTX_free(copy)
            return nil
        }
        return unsafe copy
    }

    private func template(_ scheme: SignatureScheme, _ key: KeyHandle) -> Prepared? {
        prepared.withLock { prepared in
            if let known = prepared[scheme] { return known }
            guard let pointer = unsafe fresh(scheme, key) else { return nil }
            let new = unsafe Prepared(owning: pointer)
            prepared[scheme] = new
            return new
        }
    }

    private func fresh(_ scheme: SignatureScheme, _ key: KeyHandle) -> OpaquePointer? {
        guard let context = unsafe EVP_MD_CTX_new() else { return nil }
        var parameters: OpaquePointer?
        let hash = unsafe scheme.hash?.implementation.handle
        let done =
            switch operation {
            case .signing: unsafe EVP_DigestSignInit(context, &parameters, hash, nil, key.pointer)
            case .verifying: unsafe EVP_DigestVerifyInit(context, &parameters, hash, nil, key.pointer)
            }
        guard done == 1, unsafe scheme.configure(parameters) else {
            unsafe EVP_MD_CTX_free(context)
            return nil
        }
        return unsafe context
    }

    /// A context that is not changed any more, so that any thread may copy it.
    @safe private final class Prepared: @unchecked Sendable {
        let pointer: OpaquePointer

        init(owning pointer: OpaquePointer) {
            unsafe self.pointer = pointer
        }

        deinit {
            unsafe EVP_MD_CTX_free(pointer)
        }
    }
}

extension SignatureScheme {
    /// Sets what the scheme demands beyond the hash.
    fileprivate func configure(_ parameters: OpaquePointer?) -> Bool {
        guard case .rsaPSS(let hash) = self else { return true }
        return unsafe EVP_PKEY_CTX_set_rsa_padding(parameters, daypass_pss_padding) == 1
            && EVP_PKEY_CTX_set_rsa_mgf1_md(parameters, hash.implementation.handle) == 1
            && EVP_PKEY_CTX_set_rsa_pss_saltlen(parameters, daypass_pss_salt_is_digest_length) == 1
    }
}
