package import AsyncHTTPClient
package import JOSE
import NIOCore
package import NIOHTTP1

/// An answer over the network, read to its end.
package struct HTTPAnswer: Sendable {
    package let status: Int
    package let headers: HTTPHeaders
    package let body: String

    package init(status: Int, headers: HTTPHeaders, body: String) {
        self.status = status
        self.headers = headers
        self.body = body
    }

    /// The body, if it is a JSON object; else one without members.
    package var json: JSONObject { (try? JSONReader.readObject(Array(body.utf8))) ?? [:] }

    /// A member of the body.
    package func text(_ name: ExactString) -> String? { json[name]?.string?.string }
}

/// A server that a test talks to.
package protocol HTTPOrigin: Sendable {
    /// `http://ADDRESS:PORT`
    var origin: String { get }
}

extension HTTPOrigin {
    package typealias Answer = HTTPAnswer

    /// - Parameters:
    ///   - path: below the origin, or a whole URL.
    ///   - client: follows redirects, unless it is another one.
    package func send(
        _ method: HTTPMethod = .GET, _ path: String, _ headers: [(String, String)] = [], body: String? = nil,
        by client: HTTPClient = .shared
    ) async throws -> HTTPAnswer {
        var request = HTTPClientRequest(url: path.hasPrefix("http") ? path : origin + path)
        request.method = method
        request.headers = HTTPHeaders(headers)
        // Many servers of one test run come and go, some at one address after the other: a connection that is kept for the
        // next request may be to one that has ended.
        request.headers.replaceOrAdd(name: "Connection", value: "close")
        if let body { request.body = .bytes(ByteBuffer(string: body)) }
        let response = try await client.execute(request, timeout: .seconds(20))
        let collected = try await response.body.collect(upTo: 1 << 20)
        return HTTPAnswer(status: Int(response.status.code), headers: response.headers, body: String(buffer: collected))
    }

    /// A form to the token endpoint.
    package func token(_ parameters: [(String, String)], _ headers: [(String, String)] = []) async throws -> HTTPAnswer
    {
        let type = ("Content-Type", "application/x-www-form-urlencoded")
        return try await send(.POST, "/oauth/token", [type] + headers, body: Self.form(parameters))
    }

    package static func form(_ parameters: [(String, String)]) -> String {
        parameters.map { "\(encode($0))=\(encode($1))" }.joined(separator: "&")
    }

    /// Percent-encoded, all but ASCII letters and digits.
    package static func encode(_ text: String) -> String {
        let digits = Array("0123456789ABCDEF")
        return text.utf8.reduce(into: "") { output, byte in
            let scalar = Unicode.Scalar(byte)
            if byte < 0x80, Character(scalar).isLetter || Character(scalar).isNumber {
                output.unicodeScalars.append(scalar)
            } else {
                output += "%\(digits[Int(byte >> 4)])\(digits[Int(byte & 15)])"
            }
        }
    }
}
