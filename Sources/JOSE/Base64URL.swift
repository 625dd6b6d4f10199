/// Base64url without padding (RFC 7515 §2), canonical: a value has exactly one spelling.
package enum Base64URL {
    /// The decoded bytes.
    /// - Throws: at padding, white space, characters of another alphabet, an impossible length, or unused bits that
    ///   are not zero; accepting those would give one token several spellings.
    package static func decode(_ text: ArraySlice<UInt8>) throws(Base64URLFailure) -> [UInt8] {
        let rest = text.count % 4
        guard rest != 1 else { throw .length }
        let (text, values) = (text.span, values)
        var output = [UInt8](repeating: 0, count: text.count / 4 * 3 + max(0, rest - 1))
        var bytes = output.mutableSpan
        var (input, filled) = (0, 0)
        while input + 4 <= text.count {
            let (first, second) = (values[Int(text[input])], values[Int(text[input + 1])])
            let (third, fourth) = (values[Int(text[input + 2])], values[Int(text[input + 3])])
            guard first | second | third | fourth < 64 else { throw .character }
            bytes[filled] = first << 2 | second >> 4
            bytes[filled + 1] = second << 4 | third >> 2
            bytes[filled + 2] = third << 6 | fourth
            (input, filled) = (input + 4, filled + 3)
        }
        guard rest > 0 else { return output }
        let (first, second) = (values[Int(text[input])], values[Int(text[input + 1])])
        let third = rest == 3 ? values[Int(text[input + 2])] : 0
        guard first | second | third < 64 else { throw .character }
        bytes[filled] = first << 2 | second >> 4
        guard rest == 3 else {
            guard second & 0xF == 0 else { throw .unusedBits }
            return output
        }
        guard third & 0x3 == 0 else { throw .unusedBits }
        bytes[filled + 1] = second << 4 | third >> 2
        return output
    }

    package static func decode(_ text: ExactString) throws(Base64URLFailure) -> [UInt8] {
        try decode(Array(text.utf8)[...])
    }

    /// Appends the encoded `bytes` to `output`.
    package static func encode(_ bytes: [UInt8], into output: inout [UInt8]) {
        let (bytes, alphabet) = (bytes.span, alphabet)
        var filled = output.count
        output.append(contentsOf: repeatElement(0, count: (bytes.count * 4 + 2) / 3))
        var text = output.mutableSpan
        var index = 0
        while index + 2 < bytes.count {
            let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            text[filled] = alphabet[Int(group >> 18)]
            text[filled + 1] = alphabet[Int(group >> 12 & 63)]
            text[filled + 2] = alphabet[Int(group >> 6 & 63)]
            text[filled + 3] = alphabet[Int(group & 63)]
            (index, filled) = (index + 3, filled + 4)
        }
        switch bytes.count - index {
        case 1:
            text[filled] = alphabet[Int(bytes[index] >> 2)]
            text[filled + 1] = alphabet[Int(bytes[index] & 3) << 4]
        case 2:
            let group = UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
            text[filled] = alphabet[Int(group >> 10)]
            text[filled + 1] = alphabet[Int(group >> 4 & 63)]
            text[filled + 2] = alphabet[Int(group & 15) << 2]
        default: break
        }
    }

    /// The encoded `bytes`.
    package static func encode(_ bytes: [UInt8]) -> String {
        var output: [UInt8] = []
        output.reserveCapacity((bytes.count * 4 + 2) / 3)
        encode(bytes, into: &output)
        return String(decoding: output, as: UTF8.self)
    }

    private static let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".utf8)

    /// The value of each character, 0xFF where it is none of the alphabet.
    private static let values: [UInt8] = {
        var values = [UInt8](repeating: 0xFF, count: 256)
        for (value, character) in alphabet.enumerated() { values[Int(character)] = UInt8(value) }
        return values
    }()
}

/// Why text is not canonical base64url.
package enum Base64URLFailure: Error, Sendable, Equatable {
    case length, character, unusedBits
}
