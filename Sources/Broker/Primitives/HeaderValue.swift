package import JOSE

/// Text from outside as the value of a header: `%` and everything but printable ASCII is percent-encoded, so that no
/// subject can end a line or begin a header.
package enum HeaderValue {
    package static func encode(_ text: ExactString) -> ExactString {
        if text.utf8.allSatisfy(isPlain) { return text }
        var output: [UInt8] = []
        for byte in text.utf8 { encode(byte) { output.append($0) } }
        return ExactString(String(decoding: output, as: UTF8.self))
    }

    static func isPlain(_ byte: UInt8) -> Bool {
        (0x21...0x7E).contains(byte) && byte != UInt8(ascii: "%")
    }

    /// Hands `byte` as it is sent to `append`: itself, or three characters.
    @inline(__always)
    static func encode(_ byte: UInt8, _ append: (UInt8) -> Void) {
        guard !isPlain(byte) else { return append(byte) }
        append(UInt8(ascii: "%"))
        append(digit(byte >> 4))
        append(digit(byte & 15))
    }

    private static func digit(_ value: UInt8) -> UInt8 {
        value < 10 ? UInt8(ascii: "0") + value : UInt8(ascii: "A") + value - 10
    }
}
