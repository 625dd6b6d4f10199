/// A strict JSON reader (RFC 8259) for text that decides about trust.
///
/// Ours, because the parsers at hand keep the last of two members of one name, and a verifier that reads the other one
/// is how tokens are forged (RFC 8725 §2.4). Refused beside malformed text: duplicate names (after unescaping), nesting
/// deeper than the limit, numbers that are not finite or beyond ±2⁵³, lone surrogates, text that is not UTF-8, anything
/// after the value. Stack and time are bounded: recursion goes as deep as the limit, and each byte is looked at once.
package struct JSONReader {
    package static let defaultDepth = 8
    /// In bytes, of a number with a fraction or an exponent: bounds what converting it costs.
    package static let maximumNumberLength = 64

    private let bytes: [UInt8]
    private var position = 0
    private var depthLeft: Int
    private let largeIntegers: LargeIntegers
    /// The members of the next object; nil where it may have any.
    private var known: [ExactString]?

    /// What becomes of an integer beyond ±2⁵³, which a `Double` does not hold exactly.
    package enum LargeIntegers: Sendable {
        case refused
        /// It is read as a string of its digits, at most 20 and a sign: for members of 64 bits.
        case asText
    }

    /// The value that `bytes` hold, and nothing else. `depth` is how many arrays and objects may stand in one another.
    package static func read(
        _ bytes: [UInt8], depth: Int = defaultDepth, largeIntegers: LargeIntegers = .refused
    ) throws(JSONFailure) -> JSONValue {
        var reader = JSONReader(bytes: bytes, depthLeft: depth, largeIntegers: largeIntegers)
        let value = try reader.value()
        reader.skipWhitespace()
        guard reader.position == bytes.count else { throw reader.failure(.trailing) }
        return value
    }

    /// The object that `bytes` hold, and nothing else, with none but the `known` members. Where it has another one, what
    /// that holds is not read: it may be a secret that was meant for somebody else.
    /// - Throws: also `unknownMember`.
    package static func readObject(
        _ bytes: [UInt8], depth: Int = defaultDepth, known: [ExactString]
    ) throws(JSONFailure) -> JSONObject {
        var reader = JSONReader(bytes: bytes, depthLeft: depth, largeIntegers: .refused, known: known)
        reader.skipWhitespace()
        guard reader.peek == UInt8(ascii: "{") else { throw reader.failure(.notAnObject) }
        let object = try reader.object()
        reader.skipWhitespace()
        guard reader.position == bytes.count else { throw reader.failure(.trailing) }
        return object
    }

    /// The object that `bytes` hold, and nothing else.
    package static func readObject(
        _ bytes: [UInt8], depth: Int = defaultDepth, largeIntegers: LargeIntegers = .refused
    ) throws(JSONFailure) -> JSONObject {
        guard case .object(let object) = try read(bytes, depth: depth, largeIntegers: largeIntegers) else {
            throw JSONFailure(reason: .notAnObject, offset: 0)
        }
        return object
    }

    private init(bytes: [UInt8], depthLeft: Int, largeIntegers: LargeIntegers, known: [ExactString]? = nil) {
        self.bytes = bytes
        self.depthLeft = depthLeft
        self.largeIntegers = largeIntegers
        self.known = known
    }

    private mutating func value() throws(JSONFailure) -> JSONValue {
        skipWhitespace()
        guard let first = peek else { throw failure(.unexpected) }
        switch first {
        case UInt8(ascii: "{"): return .object(try object())
        case UInt8(ascii: "["): return .array(try array())
        case UInt8(ascii: "\""): return .string(try string())
        case UInt8(ascii: "t"): return try literal("true", .bool(true))
        case UInt8(ascii: "f"): return try literal("false", .bool(false))
        case UInt8(ascii: "n"): return try literal("null", .null)
        case UInt8(ascii: "-"), UInt8(ascii: "0")...UInt8(ascii: "9"): return try number()
        default: throw failure(.unexpected)
        }
    }

    private mutating func object() throws(JSONFailure) -> JSONObject {
        try enter()
        defer { depthLeft += 1 }
        var object = JSONObject()
        let known = known
        self.known = nil
        if accept("}") { return object }
        repeat {
            skipWhitespace()
            let start = position
            let name = try string()
            if let known, !known.contains(name) { throw JSONFailure(reason: .unknownMember, offset: start) }
            guard accept(":") else { throw failure(.unexpected) }
            guard object.append(name, try value()) else { throw JSONFailure(reason: .duplicateMember, offset: start) }
        } while accept(",")
        guard accept("}") else { throw failure(.unexpected) }
        return object
    }

    private mutating func array() throws(JSONFailure) -> [JSONValue] {
        try enter()
        defer { depthLeft += 1 }
        var array: [JSONValue] = []
        if accept("]") { return array }
        repeat { array.append(try value()) } while accept(",")
        guard accept("]") else { throw failure(.unexpected) }
        return array
    }

    /// Steps over the opening bracket.
    private mutating func enter() throws(JSONFailure) {
        guard depthLeft > 0 else { throw failure(.depth) }
        depthLeft -= 1
        position += 1
    }

    private mutating func string() throws(JSONFailure) -> ExactString {
        guard peek == UInt8(ascii: "\"") else { throw failure(.unexpected) }
        position += 1
        let start = position
        while let byte = peek, byte != UInt8(ascii: "\""), byte != UInt8(ascii: "\\"), byte >= 0x20 { position += 1 }
        guard peek != UInt8(ascii: "\"") else {
            defer { position += 1 }
            return try text(bytes[start..<position], at: start)
        }
        var unescaped = Array(bytes[start..<position])
        while let byte = peek {
            position += 1
            switch byte {
            case UInt8(ascii: "\""): return try text(unescaped[...], at: start)
            case UInt8(ascii: "\\"): try unescape(into: &unescaped)
            case 0x20...: unescaped.append(byte)
            default: throw failure(.controlCharacter)
            }
        }
        throw failure(.unexpected)
    }

    private func text(_ bytes: ArraySlice<UInt8>, at offset: Int) throws(JSONFailure) -> ExactString {
        guard let text = ExactString(validating: bytes) else { throw JSONFailure(reason: .notUTF8, offset: offset) }
        return text
    }

    private mutating func unescape(into output: inout [UInt8]) throws(JSONFailure) {
        guard let byte = peek else { throw failure(.unexpected) }
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): output.append(byte)
        case UInt8(ascii: "b"): output.append(0x08)
        case UInt8(ascii: "f"): output.append(0x0C)
        case UInt8(ascii: "n"): output.append(0x0A)
        case UInt8(ascii: "r"): output.append(0x0D)
        case UInt8(ascii: "t"): output.append(0x09)
        case UInt8(ascii: "u"):
            var code = try hexadecimal()
            if (0xD800..<0xDC00).contains(code) {
                guard peek == UInt8(ascii: "\\") else { throw failure(.surrogate) }
                position += 1
                guard peek == UInt8(ascii: "u") else { throw failure(.surrogate) }
                position += 1
                let low = try hexadecimal()
                guard (0xDC00..<0xE000).contains(low) else { throw failure(.surrogate) }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            guard let scalar = Unicode.Scalar(code) else { throw failure(.surrogate) }
            output.append(contentsOf: UTF8.encode(scalar)!)
        default: throw failure(.unexpected)
        }
    }

    private mutating func hexadecimal() throws(JSONFailure) -> UInt32 {
        var code: UInt32 = 0
        for _ in 0..<4 {
            guard let byte = peek, let digit = Character(Unicode.Scalar(byte)).hexDigitValue, byte < 0x80 else {
                throw failure(.unexpected)
            }
            code = code << 4 | UInt32(digit)
            position += 1
        }
        return code
    }

    private mutating func number() throws(JSONFailure) -> JSONValue {
        let start = position
        if peek == UInt8(ascii: "-") { position += 1 }
        let integerStart = position
        let integer = digits()
        guard position > integerStart, bytes[integerStart] != UInt8(ascii: "0") || position == integerStart + 1 else {
            throw failure(.number)
        }
        var isInteger = true
        if peek == UInt8(ascii: ".") {
            isInteger = false
            position += 1
            let fraction = position
            _ = digits()
            guard position > fraction else { throw failure(.number) }
        }
        if peek == UInt8(ascii: "e") || peek == UInt8(ascii: "E") {
            isInteger = false
            position += 1
            if peek == UInt8(ascii: "+") || peek == UInt8(ascii: "-") { position += 1 }
            let exponent = position
            _ = digits()
            guard position > exponent else { throw failure(.number) }
        }
        if isInteger {
            // Not by way of a Double, which rounds 2⁵³ + 1 to 2⁵³.
            guard let integer else { return try largeInteger(from: start) }
            return .number(bytes[start] == UInt8(ascii: "-") ? -Double(integer) : Double(integer))
        }
        let text = bytes[start..<position]
        guard text.count <= Self.maximumNumberLength,
            let value = Double(String(decoding: text, as: UTF8.self)), value.magnitude < 0x1p53
        else { throw JSONFailure(reason: .number, offset: start) }
        return .number(value)
    }

    /// An integer beyond ±2⁵³, over which the reader has stepped.
    private func largeInteger(from start: Int) throws(JSONFailure) -> JSONValue {
        guard largeIntegers == .asText, position - start <= 21 else {
            throw JSONFailure(reason: .number, offset: start)
        }
        return .string(ExactString(String(decoding: bytes[start..<position], as: UTF8.self)))
    }

    /// Steps over digits. Their value, 0 where there are none, nil where it is beyond 2⁵³.
    private mutating func digits() -> UInt64? {
        var value: UInt64? = 0
        while let byte = peek, case 0x30...0x39 = byte {
            value = value.map { $0 * 10 + UInt64(byte - 0x30) }.flatMap { $0 <= 1 << 53 ? $0 : nil }
            position += 1
        }
        return value
    }

    private mutating func literal(_ text: StaticString, _ value: JSONValue) throws(JSONFailure) -> JSONValue {
        for expected in text.description.utf8 {
            guard peek == expected else { throw failure(.unexpected) }
            position += 1
        }
        return value
    }

    private var peek: UInt8? {
        position < bytes.count ? bytes[position] : nil
    }

    private mutating func accept(_ character: Unicode.Scalar) -> Bool {
        skipWhitespace()
        guard peek == UInt8(ascii: character) else { return false }
        position += 1
        return true
    }

    private mutating func skipWhitespace() {
        while let byte = peek, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { position += 1 }
    }

    private func failure(_ reason: JSONFailure.Reason) -> JSONFailure {
        JSONFailure(reason: reason, offset: position)
    }
}

/// Why text is not JSON as we accept it, and where. Holds none of the text.
package struct JSONFailure: Error, Sendable, Equatable, CustomStringConvertible {
    package enum Reason: String, Sendable {
        case unexpected = "something else was expected"
        case trailing = "there is text after the value"
        case notAnObject = "it is not an object"
        case depth = "it is nested too deep"
        case duplicateMember = "a member stands twice"
        case unknownMember = "a member is not known"
        case number = "a number is malformed or beyond ±2^53"
        case notUTF8 = "a string is not UTF-8"
        case controlCharacter = "a control character stands in a string"
        case surrogate = "half a surrogate pair is escaped"
    }

    package let reason: Reason
    /// In bytes from the start.
    package let offset: Int

    package var description: String { "not acceptable JSON: \(reason.rawValue) (at byte \(offset))" }
}
