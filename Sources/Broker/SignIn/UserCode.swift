import OpenSSL

/// What a person types to say which device it is (RFC 8628 §6.1): eight letters out of twenty, without vowels, so that
/// no word comes of them and no letter looks like a digit.
package struct UserCode: Sendable, Hashable {
    static let length = 8
    static let alphabet = Array("BCDFGHJKLMNPQRSTVWXZ".utf8)
    /// Longer text is no code, however it is written.
    private static let maximumTypedLength = 64

    private let letters: [UInt8]

    /// One of 20^8, each as likely as any other.
    init(from random: any RandomSource) throws(OpenSSLError) {
        var letters: [UInt8] = []
        while letters.count < Self.length {
            // The bytes from 240 on would make some letters likelier.
            for byte in try random.bytes(2 * Self.length) where byte < 240 && letters.count < Self.length {
                letters.append(Self.alphabet[Int(byte) % Self.alphabet.count])
            }
        }
        self.letters = letters
    }

    /// A code as somebody typed it: case, spaces and ASCII punctuation do not count.
    /// - Returns: nil for what cannot be a code.
    package init?(typed text: String) {
        guard text.utf8.count <= Self.maximumTypedLength else { return nil }
        var letters: [UInt8] = []
        for byte in text.utf8 {
            switch byte {
            case 0x61...0x7A: letters.append(byte - 0x20)
            case 0x41...0x5A: letters.append(byte)
            case 0x20...0x2F, 0x3A...0x40, 0x5B...0x60, 0x7B...0x7E: continue
            default: return nil
            }
        }
        guard letters.count == Self.length, letters.allSatisfy(Self.alphabet.contains) else { return nil }
        self.letters = letters
    }

    /// As it is shown: `WDJB-MJHT`. Whoever signed in can give a device access with it: never logged.
    package var text: String {
        let half = Self.length / 2
        return String(decoding: letters[..<half] + [UInt8(ascii: "-")] + letters[half...], as: UTF8.self)
    }
}

extension UserCode: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    package var description: String { "(user code)" }
    package var debugDescription: String { "(user code)" }
    package var customMirror: Mirror { Mirror(self, children: []) }
}
