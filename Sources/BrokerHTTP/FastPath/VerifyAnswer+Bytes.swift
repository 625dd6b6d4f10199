import Broker
import JOSE
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
        case .refused: "HTTP/1.1 403 Forbidden\r\n"
        }
    }
}

/// Fields of an answer as bytes.
private struct AnswerBytes: VerifyFields {
    var buffer: ByteBuffer

    mutating func add(_ field: VerifyField, _ value: StaticString) {
        buffer.writeStaticString(field.line)
        buffer.writeStaticString(value)
        buffer.writeStaticString("\r\n")
    }

    mutating func add(_ field: VerifyField, encoding value: ExactString) {
        buffer.writeStaticString(field.line)
        buffer.writeString(HeaderText.encode(value))
        buffer.writeStaticString("\r\n")
    }

    mutating func add(_ field: VerifyField, _ scopes: [Scope]) {
        buffer.writeStaticString(field.line)
        for (index, scope) in scopes.enumerated() {
            if index > 0 { buffer.writeInteger(UInt8(ascii: " ")) }
            buffer.writeString(scope.text.string)
        }
        buffer.writeStaticString("\r\n")
    }

    mutating func add(_ field: VerifyField, _ number: Int64) {
        buffer.writeStaticString(field.line)
        buffer.writeString(String(number))
        buffer.writeStaticString("\r\n")
    }
}

extension VerifyField {
    /// What its line begins with.
    fileprivate var line: StaticString {
        switch self {
        case .subject: "Daypass-Subject: "
        case .session: "Daypass-Session: "
        case .rule: "Daypass-Rule: "
        case .scope: "Daypass-Scope: "
        case .expires: "Daypass-Expires: "
        case .cacheControl: "Cache-Control: "
        case .challenge: "WWW-Authenticate: "
        case .hint: "Daypass-Hint: "
        }
    }
}
