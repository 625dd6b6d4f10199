import COpenSSL

/// A secret that arrives piece by piece, in one buffer of a fixed size: nothing is moved while it grows, and all of it is
/// wiped with the last reference.
///
/// For one task at a time.
@safe package final class SecretBuffer {
    private let bytes: UnsafeMutableBufferPointer<UInt8>
    /// How many bytes have arrived.
    package private(set) var count = 0

    /// - Parameter capacity: in bytes.
    package init(capacity: Int) {
        unsafe bytes = .allocate(capacity: capacity)
    }

    deinit {
        unsafe OPENSSL_cleanse(bytes.baseAddress, bytes.count)
        unsafe bytes.deallocate()
    }

    /// Adds a copy of `part`; wiping the original is the caller's business.
    /// - Returns: false, with nothing added, where there is no room for all of it.
    package func append(_ part: Span<UInt8>) -> Bool {
        let room = unsafe bytes.count - count
        guard part.count <= room else { return false }
        unsafe part.withUnsafeBufferPointer { part in
            unsafe _ = UnsafeMutableBufferPointer(rebasing: bytes[count...]).initialize(fromContentsOf: part)
        }
        count += part.count
        return true
    }

    /// What has arrived so far.
    package var secret: SecretBytes {
        SecretBytes(copying: unsafe Span(_unsafeElements: UnsafeBufferPointer(rebasing: bytes[..<count])))
    }
}

extension SecretBuffer: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
