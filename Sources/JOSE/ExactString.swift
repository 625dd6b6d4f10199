/// Text from outside, equal only to text of the very same UTF-8 bytes.
///
/// Swift's own `String` compares by canonical equivalence, under which two issuers that a certificate authority or a
/// database tells apart can be equal. Everything that decides (claims, issuers, audiences, key ids, names) is compared
/// and hashed through this type.
package struct ExactString: Sendable, Hashable {
    package let string: String

    package init(_ string: String) {
        self.string = string
    }

    /// - Returns: nil unless `bytes` are well-formed UTF-8.
    package init?(validating bytes: ArraySlice<UInt8>) {
        // Not String(validating:as:), which is generic over its input and ten times as slow.
        guard let text = try? UTF8Span(validating: bytes.span) else { return nil }
        string = String(copying: text)
    }

    package var utf8: String.UTF8View { string.utf8 }
    package var isEmpty: Bool { string.isEmpty }

    package static func == (lhs: ExactString, rhs: ExactString) -> Bool {
        guard lhs.string.utf8.count == rhs.string.utf8.count else { return false }
        let (left, right) = (lhs.utf8.span, rhs.utf8.span)
        for index in left.indices where left[index] != right[index] { return false }
        return true
    }

    package func hash(into hasher: inout Hasher) {
        var copy = string
        copy.withUTF8 { unsafe hasher.combine(bytes: UnsafeRawBufferPointer($0)) }
        hasher.combine(0xFF as UInt8)  // no UTF-8 text contains it: keeps adjacent fields apart
    }
}

extension ExactString: ExpressibleByStringLiteral, CustomStringConvertible, Comparable {
    package init(stringLiteral value: String) {
        self.init(value)
    }

    package var description: String { string }

    package static func < (lhs: ExactString, rhs: ExactString) -> Bool {
        lhs.utf8.lexicographicallyPrecedes(rhs.utf8)
    }
}

extension ExactString {
    /// Whether it is the same text but for the case of ASCII letters: how media types compare (RFC 2045 §5.1).
    package func equalsIgnoringASCIICase(_ other: String) -> Bool {
        func folded(_ byte: UInt8) -> UInt8 { (0x41...0x5A).contains(byte) ? byte | 0x20 : byte }
        let (left, right) = (utf8.span, other.utf8.span)
        guard left.count == right.count else { return false }
        for index in left.indices where folded(left[index]) != folded(right[index]) { return false }
        return true
    }

    /// Whether a C0 control character or DEL is in it. No identifier that we accept has one.
    package var hasControlCharacters: Bool {
        let bytes = utf8.span
        for index in bytes.indices where bytes[index] < 0x20 || bytes[index] == 0x7F { return true }
        return false
    }
}
