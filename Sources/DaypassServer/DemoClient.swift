import AsyncHTTPClient
import Foundation
import JOSE
import NIOCore
import NIOHTTP1
import NIOSSL

/// A client of the demonstration's server, with a certificate or without one.
struct DemoClient: Sendable {
    let origin: String
    let tls: TLSConfiguration

    struct Answer {
        let status: UInt
        private let headers: HTTPHeaders
        let json: JSONObject

        init(_ status: UInt, _ headers: HTTPHeaders, _ json: JSONObject) {
            (self.status, self.headers, self.json) = (status, headers, json)
        }

        /// Of a header; empty where there is none.
        func text(_ header: String) -> String { headers.first(name: header) ?? "" }
    }

    /// `POST /oauth/token`
    func exchange(_ subjectToken: String, type: String = "jwt", scope: String? = nil) async throws -> Answer {
        var form = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange"
        form += "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A\(type)&subject_token=\(subjectToken)"
        if let scope { form += "&scope=\(scope.replacing(" ", with: "%20"))" }
        return try await token(form)
    }

    /// `POST /oauth/token`, with the connection's certificate as the proof.
    func exchangeCertificate() async throws -> Answer {
        try await token("grant_type=client_credentials")
    }

    /// `GET /verify`
    func verify(_ token: String, scope: String) async throws -> Answer {
        var request = HTTPClientRequest(url: "\(origin)/verify?scope=\(scope)")
        request.headers.add(name: "Authorization", value: "Bearer \(token)")
        return try await send(request)
    }

    private func token(_ form: String) async throws -> Answer {
        var request = HTTPClientRequest(url: "\(origin)/oauth/token")
        request.method = .POST
        request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
        request.body = .bytes(ByteBuffer(string: form))
        return try await send(request)
    }

    private func send(_ request: HTTPClientRequest) async throws -> Answer {
        var request = request
        request.tlsConfiguration = tls
        let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
        let body = try await response.body.collect(upTo: 64 * 1024)
        let json = (try? JSONReader.readObject(Array(body.readableBytesView))) ?? [:]
        return Answer(response.status.code, response.headers, json)
    }
}
