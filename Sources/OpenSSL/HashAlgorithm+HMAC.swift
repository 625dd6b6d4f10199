import COpenSSL

extension HashAlgorithm {
    /// The keyed-hash message authentication code of `message` (RFC 2104), as long as the digest. Callable from any thread;
    /// does not suspend.
    package func authenticationCode(of message: Span<UInt8>, under key: Span<UInt8>) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: digestLength) { output, count in
            var length = 0
            let name =
                switch self {
                case .sha256: "SHA2-256"
                case .sha384: "SHA2-384"
                case .sha512: "SHA2-512"
                }
            let done = unsafe key.withUnsafeBufferPointer { key in
                unsafe message.withUnsafeBufferPointer { message in
                    unsafe EVP_Q_mac(
                        nil, "HMAC", nil, name, nil, key.baseAddress, key.count, message.baseAddress, message.count,
                        output.baseAddress, output.count, &length)
                }
            }
            // Only memory exhaustion or a broken provider can fail here, and neither may yield a code that is known.
            precondition(unsafe done != nil && length == digestLength, "the HMAC implementation failed")
            count = digestLength
        }
    }
}
