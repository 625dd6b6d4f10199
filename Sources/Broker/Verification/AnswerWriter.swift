import JOSE

/// Puts the bytes of an answer one behind the other into memory of the caller's. What does not fit is a programmer's error.
@safe struct AnswerWriter: ~Copyable {
    private let output: UnsafeMutableRawBufferPointer
    /// Bytes that were written.
    private(set) var count = 0

    /// - Parameter output: has to outlive this.
    init(_ output: UnsafeMutableRawBufferPointer) {
        unsafe self.output = output
    }

    mutating func write(_ text: StaticString) {
        unsafe write(UnsafeBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func write(_ bytes: UnsafeBufferPointer<UInt8>) {
        unsafe precondition(bytes.count <= output.count - count, "the answer is longer than it was said to be")
        guard let source = bytes.baseAddress, let target = unsafe output.baseAddress else { return }
        unsafe (target + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func writeEncoded(_ bytes: UnsafeBufferPointer<UInt8>) {
        for index in 0..<bytes.count { HeaderValue.encode(unsafe bytes[index]) { append($0) } }
    }

    mutating func writeEncoded(_ text: ExactString) {
        let bytes = text.utf8.span
        for index in bytes.indices { HeaderValue.encode(bytes[index]) { append($0) } }
    }

    /// 16 bytes, as 22 characters (RFC 7515 §2).
    mutating func writeBase64URL(_ words: (UInt64, UInt64)) {
        // A window of six bits, under which both words move.
        var (high, low) = words
        for _ in 0..<21 {
            append(Self.character(UInt8(high >> 58)))
            high = high << 6 | low >> 58
            low <<= 6
        }
        append(Self.character(UInt8(high >> 58)))
    }

    mutating func write(decimal value: Int64) {
        var rest = value.magnitude
        if value < 0 { append(UInt8(ascii: "-")) }
        var divisor: UInt64 = 1
        while rest / divisor >= 10 { divisor *= 10 }
        while divisor > 0 {
            append(UInt8(ascii: "0") + UInt8(rest / divisor))
            rest %= divisor
            divisor /= 10
        }
    }

    @inline(__always)
    private mutating func append(_ byte: UInt8) {
        unsafe precondition(count < output.count, "the answer is longer than it was said to be")
        unsafe output[count] = byte
        count += 1
    }

    private static func character(_ value: UInt8) -> UInt8 {
        switch value {
        case 0..<26: UInt8(ascii: "A") + value
        case 26..<52: UInt8(ascii: "a") + value - 26
        case 52..<62: UInt8(ascii: "0") + value - 52
        case 62: UInt8(ascii: "-")
        default: UInt8(ascii: "_")
        }
    }
}
