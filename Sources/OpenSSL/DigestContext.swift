import COpenSSL

/// A hash function in a context that is used again for each digest: of many short messages it saves what preparing one costs.
///
/// For one thread at a time.
@safe package final class DigestContext {
    private let algorithm: HashAlgorithm
    private let context: OpaquePointer

    package init(_ algorithm: HashAlgorithm) {
        guard let context = unsafe EVP_MD_CTX_new() else { preconditionFailure("there is no memory for a digest") }
        self.algorithm = algorithm
        unsafe self.context = context
    }

    deinit {
        unsafe EVP_MD_CTX_free(context)
    }

    /// The digest of `first` and `second`, one behind the other.
    package func digest(_ first: Span<UInt8>, _ second: Span<UInt8>) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: algorithm.digestLength) { output, count in
            var done = unsafe EVP_DigestInit_ex2(context, algorithm.implementation.handle, nil) == 1
            unsafe first.withUnsafeBufferPointer {
                unsafe done = done && EVP_DigestUpdate(context, $0.baseAddress, $0.count) == 1
            }
            unsafe second.withUnsafeBufferPointer {
                unsafe done = done && EVP_DigestUpdate(context, $0.baseAddress, $0.count) == 1
            }
            done = unsafe done && EVP_DigestFinal_ex(context, output.baseAddress, nil) == 1
            // As in `HashAlgorithm`: nothing may pass for a digest that is none.
            precondition(done, "the SHA-2 implementation failed")
            count = algorithm.digestLength
        }
    }
}
