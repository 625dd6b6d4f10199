import NIOHTTP1

/// The one directive of `Cache-Control` (RFC 9111 §5.2) that we read.
enum CacheControl {
    /// `max-age`; nil when it is missing or not a number.
    static func maximumAge(in headers: HTTPHeaders) -> Duration? {
        for directive in headers[canonicalForm: "Cache-Control"] {
            let parts = directive.split(separator: "=", maxSplits: 1)
            guard parts.count == 2, parts[0].lowercased() == "max-age" else { continue }
            let digits = parts[1].utf8
            guard digits.allSatisfy({ (0x30...0x39).contains($0) }) else { return nil }
            // RFC 9111 §1.2.2: a number that is too large counts as 2³¹.
            return .seconds(min(Int64(parts[1]) ?? 1 << 31, 1 << 31))
        }
        return nil
    }
}
