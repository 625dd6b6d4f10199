import Broker
import NIOCore

extension ByteBuffer {
    /// Appends the whole response, byte for byte what the router's way through the encoder gives.
    mutating func write(_ answer: VerifyAnswer, trace: TraceNumber, date: String) {
        writeStaticString(answer.statusLine)
        var fields = AnswerBytes(buffer: self)
        self = ByteBuffer()
        answer.write(to: &fields)
        self = fields.buffer
        writeStaticString("Content-Length: 0\r\nDaypass-Trace-Id: ")
        withUnsafeBytes(of: trace.digits) { _ = writeBytes($0) }
        writeStaticString("\r\nDate: ")
        writeString(date)
        writeStaticString("\r\n\r\n")
    }
}

extension VerifyAnswer {
    fileprivate var statusLine: StaticString {
        switch self {
        case .allowed: "HTTP/1.1 200 OK\r\n"
        case .refused(.token): "HTTP/1.1 401 Unauthorized\r\n"
        case .refused(.tooManyFailures): "HTTP/1.1 429 Too Many Requests\r\n"
        case .refused: "HTTP/1.1 403 Forbidden\r\n"
        }
    }
}

/// Fields of an answer as bytes.
private struct AnswerBytes: VerifyFields {
    var buffer: ByteBuffer

    mutating func add(_ token: VerifiedToken) {
        buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: token.answerFieldsCapacity) {
            token.writeAnswerFields(into: $0)
        }
    }

    mutating func add(_ field: VerifyField, _ value: StaticString) {
        buffer.writeStaticString(field.line)
        buffer.writeStaticString(value)
        buffer.writeStaticString("\r\n")
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
