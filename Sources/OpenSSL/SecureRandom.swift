import COpenSSL

/// OpenSSL's cryptographically secure random generator (SP 800-90A, seeded by the kernel).
package enum SecureRandom {
    /// `count` random bytes.
    /// - Throws: when the generator cannot be seeded; there is no weaker fallback.
    package static func bytes(_ count: Int) throws(OpenSSLError) -> [UInt8] {
        OpenSSLError.clear()
        var bytes = [UInt8](repeating: 0, count: count)
        let done = unsafe bytes.withUnsafeMutableBufferPointer { unsafe RAND_bytes($0.baseAddress, Int32($0.count)) }
        guard done == 1 else { throw .drain("drawing random bytes") }
        return bytes
    }
}
