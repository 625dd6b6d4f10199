import HTTPTypes
import Hummingbird
import NIOCore

/// An answer that was made without waiting for anything, with all of its body.
struct ImmediateAnswer: Sendable {
    var status: HTTPResponse.Status
    /// Its length among them.
    var headers: HTTPFields
    let body: ByteBuffer

    init(_ status: HTTPResponse.Status, _ headers: HTTPFields = [:], _ body: ByteBuffer = ByteBuffer()) {
        self.status = status
        self.headers = headers
        self.body = body
        self.headers[.contentLength] = String(body.readableBytes)
    }

    var response: Response {
        let body = self.body.readableBytes == 0 ? ResponseBody() : ResponseBody(byteBuffer: self.body)
        return Response(status: status, headers: headers, body: body)
    }
}
