import Broker
import NIOCore

extension ByteBuffer {
    /// Appends the whole response, byte for byte what the router's way through the encoder gives.
    /// - Parameter date: the value of the field `Date`.
    mutating func write(_ answer: VerifyAnswer, trace: TraceNumber, date: [UInt8]) {
        writeWithUnsafeMutableBytes(minimumWritableBytes: answer.maximumLength) { output in
            var bytes = AnswerBytes(output)
            bytes.write(answer.statusLine)
            answer.write(to: &bytes)
            bytes.write("Content-Length: 0\r\nDaypass-Trace-Id: ")
            withUnsafeBytes(of: trace.digits) { bytes.write($0) }
            bytes.write("\r\nDate: ")
            date.withUnsafeBytes { bytes.write($0) }
            bytes.write("\r\n\r\n")
            return bytes.count
        }
    }
}

extension VerifyAnswer {
    fileprivate var statusLine: StaticString {
        switch self {
        case .allowed: "HTTP/1.1 200 OK\r\n"
        case .refused(.token): "HTTP/1.1 401 Unauthorized\r\n"
        case .refused(.tooManyFailures): "HTTP/1.1 429 Too Many Requests\r\n"
        case .refused(.overloaded): "HTTP/1.1 503 Service Unavailable\r\n"
        case .refused: "HTTP/1.1 403 Forbidden\r\n"
        }
    }

    /// In bytes, of the whole response.
    fileprivate var maximumLength: Int {
        // What is ours has less than half of this.
        let own = 768
        return switch self {
        case .allowed(let token): own + token.answerFieldsCapacity
        case .refused: own
        }
    }
}

/// Bytes of an answer, one behind the other. What does not fit is a programmer's error.
private struct AnswerBytes: VerifyFields {
    private let output: UnsafeMutableRawBufferPointer
    private(set) var count = 0

    init(_ output: UnsafeMutableRawBufferPointer) {
        self.output = output
    }

    mutating func write(_ bytes: UnsafeRawBufferPointer) {
        precondition(bytes.count <= output.count - count, "the answer is longer than it was said to be")
        guard let source = bytes.baseAddress, let target = output.baseAddress else { return }
        (target + count).copyMemory(from: source, byteCount: bytes.count)
        count += bytes.count
    }

    mutating func write(_ text: StaticString) {
        write(UnsafeRawBufferPointer(start: text.utf8Start, count: text.utf8CodeUnitCount))
    }

    mutating func add(_ token: VerifiedToken) {
        count += token.writeAnswerFields(into: UnsafeMutableRawBufferPointer(rebasing: output[count...]))
    }

    mutating func add(_ field: VerifyField, _ value: StaticString) {
        write(field.line)
        write(value)
        write("\r\n")
    }
}

extension VerifyField {
    /// What its line begins with.
    fileprivate var line: StaticString {
        switch self {
        case .cacheControl: "Cache-Control: "
        case .challenge: "WWW-Authenticate: "
        case .hint: "Daypass-Hint: "
        case .retryAfter: "Retry-After: "
        }
    }
}
