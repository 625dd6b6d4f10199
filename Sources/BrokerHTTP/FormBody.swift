package import JOSE

/// The parameters of a form (`application/x-www-form-urlencoded`, WHATWG URL §5.1) as OAuth reads it (RFC 6749 §3.2): an
/// empty value is an absent one, and a parameter stands once, unless it is one that may repeat.
package struct FormBody: Sendable {
    /// In bytes; two tokens of the greatest length fit, percent-encoded.
    package static let maximumLength = 128 * 1024
    package static let maximumParameters = 64

    /// RFC 8693 §2.1
    private static let repeatable: Set<ExactString> = ["audience", "resource"]

    private var values: [ExactString: [ExactString]] = [:]

    /// - Throws: at a broken percent-encoding, text that is not UTF-8 or has a control character, and a repetition.
    package init(parsing body: [UInt8]) throws(FormFailure) {
        guard body.count <= Self.maximumLength else { throw .tooLong }
        var count = 0
        var rest = body[...]
        while !rest.isEmpty {
            let pair = rest[..<(rest.firstIndex(of: UInt8(ascii: "&")) ?? rest.endIndex)]
            rest = rest[min(pair.endIndex + 1, rest.endIndex)...]
            guard !pair.isEmpty else { continue }
            count += 1
            guard count <= Self.maximumParameters else { throw .tooManyParameters }
            let end = pair.firstIndex(of: UInt8(ascii: "=")) ?? pair.endIndex
            let name = try Self.decode(pair[..<end])
            let value = try Self.decode(end == pair.endIndex ? [] : pair[(end + 1)...])
            guard !value.isEmpty else { continue }
            guard values[name] == nil || Self.repeatable.contains(name) else { throw .repeated }
            values[name, default: []].append(value)
        }
    }

    /// The value of a parameter that stands at most once.
    package subscript(name: ExactString) -> ExactString? {
        values[name]?.first
    }

    /// Of the parameters that have a value.
    package var names: some Collection<ExactString> { values.keys }

    /// All values of a parameter that may repeat.
    package func all(_ name: ExactString) -> [ExactString] {
        values[name] ?? []
    }

    private static func decode(_ text: ArraySlice<UInt8>) throws(FormFailure) -> ExactString {
        // A token, by far the longest value, has nothing to decode.
        guard text.contains(UInt8(ascii: "%")) || text.contains(UInt8(ascii: "+")) else { return try checked(text) }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            switch text[index] {
            case UInt8(ascii: "+"): bytes.append(UInt8(ascii: " "))
            case UInt8(ascii: "%"):
                guard index + 2 < text.endIndex, let high = hexadecimal(text[index + 1]),
                    let low = hexadecimal(text[index + 2])
                else { throw .encoding }
                bytes.append(high << 4 | low)
                index += 2
            case let byte: bytes.append(byte)
            }
            index += 1
        }
        return try checked(bytes[...])
    }

    private static func checked(_ bytes: ArraySlice<UInt8>) throws(FormFailure) -> ExactString {
        guard let text = ExactString(validating: bytes) else { throw .encoding }
        guard !text.hasControlCharacters else { throw .controlCharacter }
        return text
    }

    private static func hexadecimal(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x30...0x39: byte - 0x30
        case 0x41...0x46: byte - 0x41 + 10
        case 0x61...0x66: byte - 0x61 + 10
        default: nil
        }
    }
}

/// Why a body is not an acceptable form. Holds nothing of it.
package enum FormFailure: Error, Sendable, Equatable, CustomStringConvertible {
    case tooLong, tooManyParameters, repeated, encoding, controlCharacter

    package var description: String {
        switch self {
        case .tooLong: "the body is longer than \(FormBody.maximumLength) bytes"
        case .tooManyParameters: "the body has more than \(FormBody.maximumParameters) parameters"
        case .repeated: "a parameter stands more than once"
        case .encoding: "the body is not form-encoded UTF-8 text"
        case .controlCharacter: "a parameter has a control character, such as a line feed at its end"
        }
    }
}
