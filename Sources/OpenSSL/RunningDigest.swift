import COpenSSL

/// A digest of what comes piece by piece. For one thread at a time.
@safe package final class RunningDigest {
    private let algorithm: HashAlgorithm
    private let context: OpaquePointer

    package init(_ algorithm: HashAlgorithm) {
        guard let context = unsafe EVP_MD_CTX_new(),
            unsafe EVP_DigestInit_ex2(context, algorithm.implementation.handle, nil) == 1
        else { preconditionFailure("the SHA-2 implementation failed") }
        self.algorithm = algorithm
        unsafe self.context = context
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
    }

    package func update(_ bytes: [UInt8]) {
        let done = unsafe bytes.withUnsafeBufferPointer {
            unsafe EVP_DigestUpdate(context, $0.baseAddress, $0.count)
        }
        precondition(done == 1, "the SHA-2 implementation failed")
    }

    /// The digest of all that came; once.
    package func finish() -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: algorithm.digestLength) { output, count in
            precondition(
                unsafe EVP_DigestFinal_ex(context, output.baseAddress, nil) == 1, "the SHA-2 implementation failed")
            count = algorithm.digestLength
        }
    }
}
