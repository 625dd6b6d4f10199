import COpenSSL

/// A SHA-2 hash function (FIPS 180-4).
package enum HashAlgorithm: Sendable, Hashable {
    case sha256, sha384, sha512

    /// The length of the digest in bytes.
    package var digestLength: Int {
        switch self {
        case .sha256: 32
        case .sha384: 48
        case .sha512: 64
        }
    }

    /// The digest of `bytes`. Callable from any thread; does not suspend; one allocation.
    package func digest(_ bytes: Span<UInt8>) -> [UInt8] {
        unsafe [UInt8](unsafeUninitializedCapacity: digestLength) { output, count in
            let done = unsafe bytes.withUnsafeBufferPointer { input in
                unsafe EVP_Digest(input.baseAddress, input.count, output.baseAddress, nil, implementation.handle, nil)
            }
            // Only memory exhaustion or a broken provider can fail here, and neither may yield an empty digest.
            precondition(done == 1, "the SHA-2 implementation failed")
            count = digestLength
        }
    }

    /// The digest of `bytes`.
    package func digest(_ bytes: [UInt8]) -> [UInt8] {
        digest(bytes.span)
    }

    /// OpenSSL's implementation, fetched once: fetching anew costs a locked look-up at each use.
    var implementation: MessageDigest {
        switch self {
        case .sha256: MessageDigest.sha256
        case .sha384: MessageDigest.sha384
        case .sha512: MessageDigest.sha512
        }
    }
}

/// An `EVP_MD`, owned for the life of the process and only read, which OpenSSL allows from any thread.
@safe final class MessageDigest: @unchecked Sendable {
    static let sha256 = MessageDigest("SHA2-256")
    static let sha384 = MessageDigest("SHA2-384")
    static let sha512 = MessageDigest("SHA2-512")

    let handle: OpaquePointer

    private init(_ name: StaticString) {
        guard let handle = unsafe EVP_MD_fetch(nil, name.utf8Start, nil) else {
            fatalError("OpenSSL offers no \(name): its providers are not loaded")
        }
        unsafe self.handle = handle
    }
}
