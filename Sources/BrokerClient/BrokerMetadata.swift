import AsyncHTTPClient
package import FoundationEssentials
import Glibc
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOSSL

/// What a broker's public listener says of itself (RFC 8414), to whoever asks.
package struct BrokerMetadata: Sendable, Hashable {
    /// What it calls itself: the `iss` of its tokens, and the audience of identity tokens unless an issuer has another.
    package let issuer: String
    /// Its clock when it answered, to the second; nil where the answer does not say.
    package let date: Date?

    /// In bytes.
    private static let maximumLength = 256 << 10

    /// Asks once, for 10 s at most.
    /// - Parameters:
    ///   - origin: https, or http of a loopback host; without a slash at its end.
    ///   - authorities: a PEM file; the system's where it is nil.
    /// - Throws: `unusableAuthorities`, `unreachable`, and `unreadable` for what is no answer of a broker.
    package static func read(from origin: String, authorities: String?) async throws(ClientFailure) -> BrokerMetadata {
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow, timeout: .init(connect: .seconds(5), read: .seconds(5)))
        configuration.httpVersion = .http1Only
        configuration.connectionPool.retryConnectionEstablishment = false
        if let authorities {
            var tls = TLSConfiguration.makeClientConfiguration()
            tls.trustRoots = .certificates(try AdministrationClient.certificates(authorities))
            configuration.tlsConfiguration = tls
        }
        let client = HTTPClient(
            eventLoopGroupProvider: .shared(MultiThreadedEventLoopGroup.singleton), configuration: configuration)
        let result = await answer(of: origin, to: client)
        try? await client.shutdown()
        return try result.get()
    }

    private static func answer(of origin: String, to client: HTTPClient) async -> Result<BrokerMetadata, ClientFailure>
    {
        do {
            var request = HTTPClientRequest(url: "\(origin)/.well-known/oauth-authorization-server")
            request.headers.add(name: "Connection", value: "close")
            let response = try await client.execute(request, timeout: .seconds(10))
            guard response.status == .ok else {
                return .failure(.unreadable("\(origin) answers \(response.status.code) where Daypass has its metadata"))
            }
            let bytes = try await response.body.collect(upTo: maximumLength)
            guard let json = try? JSON(parsing: Data(bytes.readableBytesView)), let issuer = json["issuer"]?.text else {
                return .failure(.unreadable("what answers at \(origin) is not Daypass"))
            }
            let date = response.headers.first(name: "Date").flatMap(Self.date)
            return .success(BrokerMetadata(issuer: issuer, date: date))
        } catch is NIOTooManyBytesError {
            return .failure(.unreadable("what answers at \(origin) is not Daypass"))
        } catch {
            let hint = origin.hasPrefix("http:") ? "; it may want https" : ""
            return .failure(.unreachable("\(origin): \(ConnectionWords.words(error, hint))"))
        }
    }

    /// An IMF-fixdate (RFC 9110 §5.6.7).
    static func date(_ text: String) -> Date? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(of: String(words[2])) else {
            return nil
        }
        let numbers = ([words[1], words[3]] + words[4].split(separator: ":", omittingEmptySubsequences: false)).map {
            Int32($0)
        }
        guard numbers.count == 5, let day = numbers[0], let year = numbers[1], let hour = numbers[2],
            let minute = numbers[3], let second = numbers[4], (1970...9999).contains(year), (1...31).contains(day)
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, Int32(month), day)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
        return Date(timeIntervalSince1970: Double(timegm(&parts)))
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
}
