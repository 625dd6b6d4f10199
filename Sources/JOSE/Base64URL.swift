/// Base64url without padding (RFC 7515 §2), canonical: a value has exactly one spelling.
package enum Base64URL {
    /// The decoded bytes.
    /// - Throws: at padding, white space, characters of another alphabet, an impossible length, or unused bits that
    ///   are not zero; accepting those would give one token several spellings.
    package static func decode(_ text: ArraySlice<UInt8>) throws(Base64URLFailure) -> [UInt8] {
        let rest = text.count % 4
        guard rest != 1 else { throw .length }
        var output: [UInt8] = []
        output.reserveCapacity(text.count / 4 * 3 + 2)
        var group: UInt32 = 0
        var pending = 0
        for byte in text {
            let value = values[Int(byte)]
            guard value < 64 else { throw .character }
            group = group << 6 | UInt32(value)
            pending += 1
            if pending == 4 {
                output.append(UInt8(truncatingIfNeeded: group >> 16))
                output.append(UInt8(truncatingIfNeeded: group >> 8))
                output.append(UInt8(truncatingIfNeeded: group))
                (group, pending) = (0, 0)
            }
        }
        switch pending {
        case 2:
            guard group & 0xF == 0 else { throw .unusedBits }
            output.append(UInt8(truncatingIfNeeded: group >> 4))
        case 3:
            guard group & 0x3 == 0 else { throw .unusedBits }
            output.append(UInt8(truncatingIfNeeded: group >> 10))
            output.append(UInt8(truncatingIfNeeded: group >> 2))
        default: break
        }
        return output
    }

    package static func decode(_ text: ExactString) throws(Base64URLFailure) -> [UInt8] {
        try decode(Array(text.utf8)[...])
    }

    /// Appends the encoded `bytes` to `output`.
    package static func encode(_ bytes: [UInt8], into output: inout [UInt8]) {
        var index = 0
        while index + 2 < bytes.count {
            let group = UInt32(bytes[index]) << 16 | UInt32(bytes[index + 1]) << 8 | UInt32(bytes[index + 2])
            output.append(alphabet[Int(group >> 18)])
            output.append(alphabet[Int(group >> 12 & 63)])
            output.append(alphabet[Int(group >> 6 & 63)])
            output.append(alphabet[Int(group & 63)])
            index += 3
        }
        switch bytes.count - index {
        case 1:
            output.append(alphabet[Int(bytes[index] >> 2)])
            output.append(alphabet[Int(bytes[index] & 3) << 4])
        case 2:
            let group = UInt32(bytes[index]) << 8 | UInt32(bytes[index + 1])
            output.append(alphabet[Int(group >> 10)])
            output.append(alphabet[Int(group >> 4 & 63)])
            output.append(alphabet[Int(group & 15) << 2])
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
