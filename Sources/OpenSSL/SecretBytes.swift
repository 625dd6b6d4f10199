import COpenSSL

/// A secret in a buffer of its own that is wiped when the last reference goes, and that no printing,
/// interpolation or reflection shows. It is compared in constant time, and is neither hashed, ordered nor encoded.
@safe package final class SecretBytes: Sendable {
    private let buffer: Buffer

    package var count: Int { unsafe buffer.bytes.count }

    /// Copies `bytes`; wiping the original is the caller's business.
    package init(copying bytes: Span<UInt8>) {
        unsafe buffer = Buffer(bytes)
    }

    /// Copies `bytes` and overwrites the original with zeros.
    package init(moving bytes: inout [UInt8]) {
        unsafe buffer = Buffer(bytes.span)
        unsafe bytes.withUnsafeMutableBytes { unsafe OPENSSL_cleanse($0.baseAddress, $0.count) }
    }

    deinit {
        unsafe OPENSSL_cleanse(buffer.bytes.baseAddress, buffer.bytes.count)
        unsafe buffer.bytes.deallocate()
    }

    /// The secret, for the duration of `body` only.
    package func withSpan<Result, Failure: Error>(
        _ body: (Span<UInt8>) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try body(unsafe Span(_unsafeElements: UnsafeBufferPointer(buffer.bytes)))
    }

    /// Immutable once made, hence shareable.
    @unsafe private struct Buffer: @unchecked Sendable {
        let bytes: UnsafeMutableBufferPointer<UInt8>

        init(_ source: Span<UInt8>) {
            unsafe bytes = .allocate(capacity: source.count)
            unsafe source.withUnsafeBufferPointer { unsafe _ = bytes.initialize(fromContentsOf: $0) }
        }
    }
}

extension SecretBytes: Equatable {
    /// Whether both hold the same bytes. How long that takes tells of their lengths and of nothing else.
    package static func == (one: SecretBytes, other: SecretBytes) -> Bool {
        guard one.count == other.count else { return false }
        return unsafe CRYPTO_memcmp(one.buffer.bytes.baseAddress, other.buffer.bytes.baseAddress, one.count) == 0
    }
}

extension SecretBytes: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(secret)" }
    package var debugDescription: String { "(secret)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
