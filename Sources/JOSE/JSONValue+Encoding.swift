extension JSONValue {
    /// The value as compact JSON in UTF-8, members in their order.
    package func encoded() -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        encode(into: &output)
        return output
    }

    package func encode(into output: inout [UInt8]) {
        switch self {
        case .null: output.append(contentsOf: "null".utf8)
        case .bool(let bool): output.append(contentsOf: bool ? "true".utf8 : "false".utf8)
        case .number(let number): Self.encode(number, into: &output)
        case .string(let string): Self.encode(string.string, into: &output)
        case .array(let array):
            output.append(UInt8(ascii: "["))
            for (index, element) in array.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                element.encode(into: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let object): object.encode(into: &output)
        }
    }

    private static func encode(_ number: Double, into output: inout [UInt8]) {
        precondition(number.isFinite, "JSON has no such number")
        if let integer = Int64(exactly: number) {
            output.append(contentsOf: String(integer).utf8)
        } else {
            output.append(contentsOf: number.description.utf8)
        }
    }

    package static func encode(_ string: String, into output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        // Most text needs no escape, and is then copied as a whole.
        guard needsEscape(string.utf8.span) else {
            var text = string
            text.withUTF8 { unsafe output.append(contentsOf: $0) }
            return output.append(UInt8(ascii: "\""))
        }
        for byte in string.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"): output.append(contentsOf: [UInt8(ascii: "\\"), byte])
            case 0x00..<0x20, 0x7F:
                output.append(contentsOf: "\\u00".utf8)
                output.append(hexadecimal[Int(byte >> 4)])
                output.append(hexadecimal[Int(byte & 15)])
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }

    private static func needsEscape(_ text: Span<UInt8>) -> Bool {
        for index in text.indices {
            let byte = text[index]
            if byte < 0x20 || byte == 0x22 || byte == 0x5C || byte == 0x7F { return true }
        }
        return false
    }

    private static let hexadecimal = Array("0123456789abcdef".utf8)
}

extension JSONObject {
    /// The object as compact JSON in UTF-8, members in their order.
    package func encoded() -> [UInt8] {
        var output: [UInt8] = []
        output.reserveCapacity(512)
        encode(into: &output)
        return output
    }

    package func encode(into output: inout [UInt8]) {
        output.append(UInt8(ascii: "{"))
        for (index, member) in members.enumerated() {
            if index > 0 { output.append(UInt8(ascii: ",")) }
            JSONValue.encode(member.name.string, into: &output)
            output.append(UInt8(ascii: ":"))
            member.value.encode(into: &output)
        }
        output.append(UInt8(ascii: "}"))
    }
}
