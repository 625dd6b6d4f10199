// What the gate in front of the decoder reads. It must never see a request's end elsewhere than any HTTP parser does, so it
// reads the least: whatever is not exactly this form is somebody else's.

/// The head of a request to `/verify` without a body, in the strict form that no parser can read otherwise (RFC 9112): CRLF
/// line ends, names of token characters with the colon right behind, at most one space before a value and none behind,
/// values without control characters, one `Host`, nothing that speaks of a body or of the connection, but
/// `Content-Length: 0` and `Connection: keep-alive`.
///
/// Ranges are offsets from the beginning of the head.
struct StrictHead {
    /// In bytes, with the empty line.
    var length = 0
    /// The query of exactly `/verify`; nil where there is none, and below.
    var query: Range<Int>?
    var authorization: Range<Int>?
    var apiKey: Range<Int>?
    var scope: Range<Int>?
    var model: Range<Int>?
    /// Whether `Authorization` or `x-api-key` stands more than once.
    var isAmbiguous = false

    private var hasHost = false
    private var hasLength = false
    private var hasConnection = false

    enum Outcome {
        case whole
        /// All that is there conforms, and more has to come.
        case partial
        /// Of another form.
        case other
    }

    /// Below those of the decoder (24 KiB, 64 KiB, 128), so that what is answered here is nowhere refused.
    static let maximumFieldLength = 24 * 1024
    static let maximumLength = 64 * 1024
    static let maximumFields = 128

    /// Reads the head that begins at `start`, into `head` where it is whole.
    static func read(_ bytes: UnsafeRawBufferPointer, from start: Int, into head: inout StrictHead) -> Outcome {
        var reader = Reader(UnsafeRawBufferPointer(rebasing: bytes[start...].prefix(maximumLength)))
        head = StrictHead()
        switch head.read(&reader) {
        case .done:
            head.length = reader.position
            return .whole
        case .wait:
            return bytes.count - start >= maximumLength ? .other : .partial
        case .stop:
            return .other
        }
    }

    /// The values of the fields `name`, which is of lower-case letters and hyphens, in their order.
    /// - Parameter bytes: the head.
    func values(of name: StaticString, in bytes: UnsafeRawBufferPointer) -> [String] {
        var reader = Reader(UnsafeRawBufferPointer(rebasing: bytes.prefix(length)))
        var values: [String] = []
        _ = reader.skipValue()
        reader.position += 2
        while let first = reader.current, first != Reader.cr {
            let start = reader.position
            reader.skip(.token)
            let isIt = reader.has(name, at: start..<reader.position)
            reader.position += 1
            if reader.current == UInt8(ascii: " ") { reader.position += 1 }
            let value = reader.position
            _ = reader.skipValue()
            if isIt { values.append(String(decoding: reader.bytes[value..<reader.position], as: UTF8.self)) }
            reader.position += 2
        }
        return values
    }

    private enum Step {
        case done, wait, stop
    }

    private mutating func read(_ reader: inout Reader) -> Step {
        var step = Self.method(&reader)
        guard step == .done else { return step }
        step = target(&reader)
        guard step == .done else { return step }
        step = reader.expect("HTTP/1.1\r\n")
        guard step == .done else { return step }
        var fields = 0
        while true {
            guard let first = reader.current else { return .wait }
            if first == Reader.cr {
                step = reader.expect("\r\n")
                return step == .done && !hasHost ? .stop : step
            }
            fields += 1
            guard fields <= Self.maximumFields else { return .stop }
            step = field(&reader)
            guard step == .done else { return step }
        }
    }

    /// The two methods that gateways ask with; the answer to all others is the same, elsewhere.
    private static func method(_ reader: inout Reader) -> Step {
        reader.current == UInt8(ascii: "P") ? reader.expect("POST ") : reader.expect("GET ")
    }

    /// `/verify`, and then a query, or a path below with whatever the client wrote.
    private mutating func target(_ reader: inout Reader) -> Step {
        let step = reader.expect("/verify")
        guard step == .done else { return step }
        guard let next = reader.current else { return .wait }
        switch next {
        case UInt8(ascii: " "): break
        case UInt8(ascii: "?"):
            reader.position += 1
            let start = reader.position
            // A second question mark is read in different ways.
            reader.skip(.query)
            query = start..<reader.position
        case UInt8(ascii: "/"):
            reader.skip(.target)
        default: return .stop
        }
        guard let end = reader.current else { return .wait }
        guard end == UInt8(ascii: " ") else { return .stop }
        reader.position += 1
        return reader.position <= Self.maximumFieldLength ? .done : .stop
    }

    private mutating func field(_ reader: inout Reader) -> Step {
        let start = reader.position
        reader.skip(.token)
        let name = start..<reader.position
        guard let colon = reader.current else { return .wait }
        guard colon == UInt8(ascii: ":"), !name.isEmpty else { return .stop }
        reader.position += 1
        guard let space = reader.current else { return .wait }
        if space == UInt8(ascii: " ") { reader.position += 1 }
        let valueStart = reader.position
        let isPlain = reader.skipValue()
        let value = valueStart..<reader.position
        guard reader.position - start <= Self.maximumFieldLength else { return .stop }
        let step = reader.expect("\r\n")
        guard step == .done else { return step }
        if !value.isEmpty {
            let space = UInt8(ascii: " ")
            guard reader.bytes[value.lowerBound] != space, reader.bytes[value.upperBound - 1] != space else {
                return .stop
            }
        }
        return keep(name, value, isPlain: isPlain, reader) ? .done : .stop
    }

    /// - Parameter isPlain: whether the value is ASCII.
    /// - Returns: whether a request with this field is of the form.
    private mutating func keep(_ name: Range<Int>, _ value: Range<Int>, isPlain: Bool, _ reader: Reader) -> Bool {
        /// For fields that count: what is not plain, or empty, is for the decoder to make a text of.
        func first(_ field: inout Range<Int>?) -> Bool {
            guard field == nil, isPlain, !value.isEmpty else { return false }
            field = value
            return true
        }
        func credential(_ field: inout Range<Int>?) -> Bool {
            guard isPlain, !value.isEmpty else { return false }
            if field != nil { isAmbiguous = true }
            field = value
            return true
        }
        switch name.count {
        case 2: return !reader.has("te", at: name)
        case 4:
            guard reader.has("host", at: name) else { return true }
            guard !hasHost, isPlain, !value.isEmpty else { return false }
            hasHost = true
            return true
        case 6: return !reader.has("expect", at: name)
        case 7: return !reader.has("upgrade", at: name) && !reader.has("trailer", at: name)
        case 9: return reader.has("x-api-key", at: name) ? credential(&apiKey) : true
        case 10:
            guard reader.has("connection", at: name) else { return true }
            guard !hasConnection, reader.has("keep-alive", at: value) else { return false }
            hasConnection = true
            return true
        case 13: return reader.has("authorization", at: name) ? credential(&authorization) : true
        case 14:
            if reader.has("http2-settings", at: name) { return false }
            guard reader.has("content-length", at: name) else { return true }
            guard !hasLength, value.count == 1, reader.bytes[value.lowerBound] == UInt8(ascii: "0") else {
                return false
            }
            hasLength = true
            return true
        case 16: return !reader.has("proxy-connection", at: name)
        case 17: return !reader.has("transfer-encoding", at: name)
        case 21:
            if reader.has("daypass-require-scope", at: name) { return first(&scope) }
            return reader.has("daypass-require-model", at: name) ? first(&model) : true
        default: return true
        }
    }

    /// Reads bytes from left to right, and never looks behind the last one.
    private struct Reader {
        static let cr: UInt8 = 13

        let bytes: UnsafeRawBufferPointer
        var position = 0

        init(_ bytes: UnsafeRawBufferPointer) {
            self.bytes = bytes
        }

        /// Nil at the end of what has come.
        var current: UInt8? { position < bytes.count ? bytes[position] : nil }

        @inline(__always)
        mutating func expect(_ text: StaticString) -> Step {
            let count = text.utf8CodeUnitCount
            let available = min(count, bytes.count - position)
            for index in 0..<available where bytes[position + index] != text.utf8Start[index] { return .stop }
            position += available
            return available == count ? .done : .wait
        }

        /// Whether the bytes at `range` are `text`, in any case. `text` is of lower-case letters, digits and hyphens, and the
        /// bytes are no control characters, so that the bit tells nothing but the case.
        func has(_ text: StaticString, at range: Range<Int>) -> Bool {
            let count = text.utf8CodeUnitCount
            guard range.count == count else { return false }
            let expected = UnsafeRawBufferPointer(start: text.utf8Start, count: count)
            var index = 0
            while count - index >= 8 {
                let word = bytes.loadUnaligned(fromByteOffset: range.lowerBound + index, as: UInt64.self)
                let other = expected.loadUnaligned(fromByteOffset: index, as: UInt64.self)
                guard word | 0x2020_2020_2020_2020 == other else { return false }
                index += 8
            }
            while index < count {
                guard bytes[range.lowerBound + index] | 0x20 == expected[index] else { return false }
                index += 1
            }
            return true
        }

        mutating func skip(_ class: CharacterClass) {
            while position < bytes.count, `class`.contains(bytes[position]) { position += 1 }
        }

        /// Up to the first control character, eight bytes at a time.
        /// - Returns: whether all are ASCII.
        mutating func skipValue() -> Bool {
            let high: UInt64 = 0x8080_8080_8080_8080
            let ones: UInt64 = 0x0101_0101_0101_0101
            var isPlain = true
            while bytes.count - position >= 8 {
                let word = bytes.loadUnaligned(fromByteOffset: position, as: UInt64.self)
                // A high bit is not ASCII, below a space borrows, and so does DEL once it is turned into zero.
                let odd = (word &- ones &* 0x20) | ((word ^ ones &* 0x7F) &- ones) | word
                guard odd & high == 0 else { break }
                position += 8
            }
            while position < bytes.count {
                let byte = bytes[position]
                if byte < 0x20 || byte == 0x7F { return isPlain }
                if byte >= 0x80 { isPlain = false }
                position += 1
            }
            return isPlain
        }
    }

    /// A set of ASCII characters.
    private struct CharacterClass {
        /// RFC 9110 §5.6.2
        static var token: CharacterClass { CharacterClass(low: 0x03FF_6CFA_0000_0000, high: 0x57FF_FFFF_C7FF_FFFE) }
        /// RFC 3986 §3.3 and §3.4, the percent sign with whatever follows it.
        static var target: CharacterClass { CharacterClass(low: 0xAFFF_FFF2_0000_0000, high: 0x47FF_FFFE_87FF_FFFF) }
        /// The same without a question mark.
        static var query: CharacterClass { CharacterClass(low: 0x2FFF_FFF2_0000_0000, high: 0x47FF_FFFE_87FF_FFFF) }

        /// A bit for each character, the first one the lowest.
        let low: UInt64
        let high: UInt64

        @inline(__always)
        func contains(_ byte: UInt8) -> Bool {
            guard byte < 128 else { return false }
            return (byte < 64 ? low >> UInt64(byte) : high >> UInt64(byte - 64)) & 1 == 1
        }
    }
}
