package import FoundationEssentials
import Glibc
import NIOHTTP1

/// What a broker's public listener says of itself (RFC 8414), to whoever asks.
package struct BrokerMetadata: Sendable, Hashable {
    /// What it calls itself: the `iss` of its tokens, and the audience of identity tokens unless an issuer has another.
    package let issuer: String
    /// Its clock when the answer came, to the second; nil where the answer does not say.
    package let date: Date?

    /// Asks once; all of the answer comes within nine seconds.
    /// - Parameters:
    ///   - origin: https, or http of a loopback host; without a slash at its end.
    ///   - authorities: a PEM file; the system's where it is nil.
    /// - Throws: `unusable` for the authorities, `unreachable`, and `unreadable` for what is no answer of a broker.
    package static func read(from origin: String, authorities: String?) async throws(TokenFailure) -> BrokerMetadata {
        let http = BoundedHTTP(ClientTLS(authorities: authorities))
        let request = BoundedHTTP.Request(url: "\(origin)/.well-known/oauth-authorization-server")
        let answer = try await http.send(request, within: TokenSession.longest)
        guard answer.status == 200 else {
            throw .unreadable("\(origin) answers \(answer.status) where Daypass has its metadata")
        }
        guard let issuer = (try? JSON(parsing: answer.body))?["issuer"]?.text, !issuer.isEmpty else {
            throw .unreadable("what answers at \(origin) is not Daypass")
        }
        // What a cache kept is so much older (RFC 9111 §5.1).
        let age = answer.headers.first(name: "Age").flatMap { UInt32($0) } ?? 0
        let date = answer.headers.first(name: "Date").flatMap(Self.date)
        return BrokerMetadata(issuer: issuer, date: date?.addingTimeInterval(Double(age)))
    }

    /// An IMF-fixdate (RFC 9110 §5.6.7).
    static func date(_ text: String) -> Date? {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 6, words[5] == "GMT", let month = months.firstIndex(of: String(words[2])) else {
            return nil
        }
        let numbers = ([words[1], words[3]] + words[4].split(separator: ":", omittingEmptySubsequences: false)).map {
            $0.utf8.allSatisfy { (0x30...0x39).contains($0) } ? Int32($0) : nil
        }
        guard numbers.count == 5, let day = numbers[0], let year = numbers[1], let hour = numbers[2],
            let minute = numbers[3], let second = numbers[4], (1970...9999).contains(year), (1...31).contains(day),
            hour < 24, minute < 60, second <= 60
        else { return nil }
        var parts = tm()
        (parts.tm_year, parts.tm_mon, parts.tm_mday) = (year - 1900, Int32(month), day)
        (parts.tm_hour, parts.tm_min, parts.tm_sec) = (hour, minute, second)
        return Date(timeIntervalSince1970: Double(timegm(&parts)))
    }

    private static let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
}
