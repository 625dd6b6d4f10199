import AsyncHTTPClient
import Broker
import CertificateNames
import FoundationEssentials
import NIOCore
import NIOHTTP1
import NIOSSL

/// One GET, or one POST of a form, over a connection of its own to one address, whatever the host's name resolves to by
/// now. TLS still asks for a certificate of the host.
struct PinnedRequest: Sendable {
    let url: OutboundURL
    let address: IPAddress
    let trustRoots: GuardedFetcher.TrustRoots
    let connectTimeout: Duration
    /// What is posted; nil for a GET.
    var form: PostedForm?

    /// Suspends until the whole body is there, however long that takes. Ends promptly, with any failure, when the task is
    /// cancelled.
    func answer() async throws(OutboundFailure) -> OutboundAnswer {
        let client = HTTPClient(eventLoopGroup: HTTPClient.defaultEventLoopGroup, configuration: try configuration)
        // Closing a TLS connection waits for the peer, for which the caller need not wait.
        defer { Task { try? await client.shutdown() } }
        let request = try request
        let response: HTTPClientResponse
        do {
            response = try await client.execute(request, deadline: .distantFuture)
        } catch {
            let reason = ConnectionReason.words(for: error)
            // A form may have been read and have taken effect: it is not sent to another address as well.
            if form != nil, !ConnectionReason.isBeforeConnection(error) { throw .refused(.connection(url, reason)) }
            throw notReached(reason)
        }
        let status = Int(response.status.code)
        if form != nil, PostedForm.errorStatuses.contains(status) {
            return .document(
                FetchedDocument(body: try await body(of: response), maximumAge: nil, status: status))
        }
        switch try head(of: response) {
        case .document(let maximumAge):
            return .document(FetchedDocument(body: try await body(of: response), maximumAge: maximumAge))
        case .redirect(let location): return .redirect(location)
        }
    }

    private func head(of response: HTTPClientResponse) throws(OutboundFailure) -> AnswerHead {
        do {
            return try AnswerHead(status: Int(response.status.code), headers: response.headers, from: url)
        } catch {
            throw .refused(error)
        }
    }

    private func notReached(_ reason: String) -> OutboundFailure { .notReached(.connection(url, reason)) }

    private var request: HTTPClientRequest {
        get throws(OutboundFailure) {
            // The client parses the text again. Were it to see another host, it would not find the pinned address and
            // would resolve that host itself.
            let text = url.description
            guard let parsed = URL(string: text), parsed.scheme == url.scheme.rawValue,
                Self.unbracketed(parsed.host ?? "") == host, parsed.user == nil
            else { throw notReached("the host is not understood") }
            var request = HTTPClientRequest(url: text)
            request.headers = ["User-Agent": "daypass", "Accept": "application/json"]
            if let form {
                request.method = .POST
                request.headers.add(name: "Content-Type", value: "application/x-www-form-urlencoded")
                if let authorization = form.authorization {
                    request.headers.add(name: "Authorization", value: authorization.reveal())
                }
                request.body = .bytes(ByteBuffer(string: form.body.reveal()))
            }
            return request
        }
    }

    private var configuration: HTTPClient.Configuration {
        get throws(OutboundFailure) {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.minimumTLSVersion = .tlsv12
            if case .pem(let bytes) = trustRoots {
                do {
                    tls.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(bytes))
                } catch {
                    throw notReached("the trust roots cannot be read: \(error)")
                }
            }
            var configuration = HTTPClient.Configuration(
                tlsConfiguration: tls, redirectConfiguration: .disallow,
                timeout: .init(connect: TimeAmount(connectTimeout)), proxy: nil, decompression: .disabled)
            configuration.httpVersion = .http1Only
            configuration.connectionPool.retryConnectionEstablishment = false
            configuration.dnsOverride = [host: address.text]
            if url.scheme == .https {
                // Before anything is asked: a connection that fails here is none.
                configuration.http1_1ConnectionDebugInitializer = { [host] channel in
                    channel.eventLoop.submit { try CertifiedHost.check(channel, for: host) }
                }
            }
            return configuration
        }
    }

    /// As the client names it: without brackets.
    private var host: String {
        switch url.host {
        case .name(let name): name
        case .address(let address): address.text
        }
    }

    private func body(of response: HTTPClientResponse) async throws(OutboundFailure) -> [UInt8] {
        let limit = GuardedFetcher.maximumBodyBytes
        let body: [UInt8]?
        do {
            body = try await Self.bytes(of: response.body, limit: limit)
        } catch {
            throw .refused(.connection(url, ConnectionReason.words(for: error)))
        }
        guard let body else { throw .refused(.bodyTooLarge(url)) }
        // A cancelled body just ends.
        guard !Task.isCancelled else { throw .refused(.deadline(url)) }
        return body
    }

    /// - Returns: nil when there are more than `limit`.
    private static func bytes(of body: HTTPClientResponse.Body, limit: Int) async throws -> [UInt8]? {
        var bytes: [UInt8] = []
        for try await part in body {
            guard bytes.count + part.readableBytes <= limit else { return nil }
            bytes += part.readableBytesView
        }
        return bytes
    }

    private static func unbracketed(_ host: String) -> String {
        host.hasPrefix("[") && host.hasSuffix("]") ? String(host.dropFirst().dropLast()) : host
    }
}
