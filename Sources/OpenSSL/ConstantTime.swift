import COpenSSL

/// Whether two byte strings are equal, in time that depends only on their lengths.
package func constantTimeEquals(_ lhs: Span<UInt8>, _ rhs: Span<UInt8>) -> Bool {
    guard lhs.count == rhs.count else { return false }
    return unsafe lhs.withUnsafeBufferPointer { left in
        unsafe rhs.withUnsafeBufferPointer { unsafe CRYPTO_memcmp(left.baseAddress, $0.baseAddress, left.count) == 0 }
    }
}
