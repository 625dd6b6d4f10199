/// Heads in front of the HTTP decoder: what is accepted is read again, line by line, and has to be free of all that parsers
/// disagree about. (`StrictHead.swift` is a link to BrokerHTTP's: see `FormTarget`.)
enum StrictHeadTarget: FuzzTarget {
    static func run(_ input: [UInt8]) {
        input.withUnsafeBytes { bytes in
            var head = StrictHead()
            guard StrictHead.read(bytes, from: 0, into: &head) == .whole else { return }
            precondition(head.length <= input.count)
            check(head, Array(input.prefix(head.length)))
            // Nothing behind a head, and no cut within it, changes what it is.
            let alone = Array(input.prefix(head.length))
            alone.withUnsafeBytes { alone in
                var same = StrictHead()
                let outcome = StrictHead.read(alone, from: 0, into: &same)
                precondition(outcome == .whole && same.length == head.length, "it is another one without what follows")
                for end in Set([0, 1, head.length / 3, head.length / 2, head.length - 2, head.length - 1]) {
                    let beginning = UnsafeRawBufferPointer(rebasing: alone[..<end])
                    precondition(StrictHead.read(beginning, from: 0, into: &same) == .partial, "no beginning")
                }
            }
        }
    }

    private static func check(_ head: StrictHead, _ bytes: [UInt8]) {
        precondition(bytes.suffix(4) == [13, 10, 13, 10], "it does not end with an empty line")
        var lines: [[UInt8]] = [[]]
        var index = 0
        while index < bytes.count {
            let byte = bytes[index]
            if byte == 13 {
                precondition(bytes[index + 1] == 10, "CR without LF")
                lines.append([])
                index += 2
                continue
            }
            precondition(byte >= 0x20 && byte != 0x7F, "a control character")
            lines[lines.count - 1].append(byte)
            index += 1
        }
        precondition(lines.suffix(2) == [[], []] && !lines.dropLast(2).contains([]), "an empty line within")
        let first = String(decoding: lines[0], as: UTF8.self).split(separator: " ", omittingEmptySubsequences: false)
        precondition(first.count == 3 && ["GET", "POST"].contains(first[0]) && first[2] == "HTTP/1.1")
        precondition(first[1] == "/verify" || first[1].hasPrefix("/verify/") || first[1].hasPrefix("/verify?"))
        precondition(!first[1].contains("#"))
        var counts: [String: Int] = [:]
        for line in lines[1...].dropLast(2) {
            guard let colon = line.firstIndex(of: UInt8(ascii: ":")), colon > 0 else {
                preconditionFailure("a line without a name")
            }
            let name = String(decoding: line[..<colon], as: UTF8.self).lowercased()
            precondition(!name.contains { " \t\"(),/;<=>?@[\\]{}".contains($0) }, "a name that is no token")
            let value = String(decoding: line[(colon + 1)...], as: UTF8.self).trimmingSpaces()
            counts[name, default: 0] += 1
            switch name {
            case "content-length": precondition(value == "0")
            case "connection": precondition(value.lowercased() == "keep-alive")
            case "transfer-encoding", "upgrade", "te", "trailer", "expect", "proxy-connection", "http2-settings":
                preconditionFailure("\(name) is not for the gate")
            default: break
            }
        }
        precondition(counts["host"] == 1, "not one Host")
        for name in ["content-length", "connection", "daypass-require-scope", "daypass-require-model"] {
            precondition(counts[name, default: 0] <= 1, "\(name) stands twice")
        }
        let credentials = (counts["authorization", default: 0], counts["x-api-key", default: 0])
        precondition(head.isAmbiguous == (credentials.0 > 1 || credentials.1 > 1))
        precondition((head.authorization != nil) == (credentials.0 > 0))
        precondition((head.apiKey != nil) == (credentials.1 > 0))
        precondition((head.scope != nil) == (counts["daypass-require-scope"] == 1))
        precondition((head.model != nil) == (counts["daypass-require-model"] == 1))
        precondition((head.query != nil) == first[1].hasPrefix("/verify?"))
    }
}

extension String {
    fileprivate func trimmingSpaces() -> String {
        var text = self[...]
        while text.first == " " { text.removeFirst() }
        while text.last == " " { text.removeLast() }
        return String(text)
    }
}
