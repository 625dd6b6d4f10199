import Broker

/// Streams of requests as gateways send them, and as nobody should: from a seed, so that each can be had again.
struct RandomRequests: RandomNumberGenerator {
    private var state: UInt64
    /// Good tokens.
    let tokens: [String]

    init(seed: UInt64, tokens: [String]) {
        state = seed
        self.tokens = tokens
    }

    /// SplitMix64
    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// A stream in the pieces in which it is to be sent.
    mutating func stream() -> [[UInt8]] {
        var bytes: [UInt8] = []
        for _ in 0..<Int.random(in: 1...8, using: &self) { bytes += request() }
        if chance(8) { bytes = mutated(bytes) }
        if chance(16) { bytes = Array(bytes.prefix(Int.random(in: 0...bytes.count, using: &self))) }
        guard chance(2) else { return [bytes] }
        var pieces: [[UInt8]] = []
        while !bytes.isEmpty {
            let length = min(bytes.count, Int.random(in: 1...(chance(2) ? 20 : 400), using: &self))
            pieces.append(Array(bytes.prefix(length)))
            bytes.removeFirst(length)
        }
        return pieces
    }

    private mutating func chance(_ one: Int) -> Bool { Int.random(in: 0..<one, using: &self) == 0 }

    private mutating func one<Element>(of elements: [Element]) -> Element {
        elements[Int.random(in: 0..<elements.count, using: &self)]
    }

    private mutating func request() -> [UInt8] {
        let isPlain = !chance(3)
        let method =
            isPlain ? one(of: ["GET", "GET", "POST"]) : one(of: ["HEAD", "PUT", "get", "OPTIONS", "PROPFIND", "GET"])
        let path =
            isPlain
            ? one(of: ["/verify", "/verify?scope=anthropic:messages", "/verify/v1/messages?beta=true", "/verify/"])
            : one(of: [
                "/verify?scope=openai:x", "/verify?scope=%zz", "/verify?scope=a&scope=b", "/verify?a?b", "/verify#a",
                "http://a/verify", "//verify", "/verify%2f", "/healthz", "/oauth/jwks", "/nowhere", "/oauth/token",
                "/verify/\u{E9}", "/.well-known/oauth-authorization-server", "/verify?model=claude-sonnet-4",
            ])
        var fields = [one(of: ["Host: a", "host:a"])]
        if chance(2) { fields.append(one(of: ["Daypass-Require-Scope: ", "daypass-require-scope:"]) + scope()) }
        if chance(6) { fields.append("Daypass-Require-Model: " + one(of: ["claude-sonnet-4", "gpt-5", "a,b", " "])) }
        if !chance(4) {
            fields.append("Authorization: " + one(of: ["Bearer ", "bearer ", "Bearer  ", "Basic ", ""]) + token())
        }
        if chance(3) { fields.append(one(of: ["x-api-key: ", "X-API-KEY:"]) + token()) }
        if !isPlain { fields.append(odd()) }
        fields.shuffle(using: &self)
        var body: [UInt8] = []
        if chance(5) {
            let content = Array(one(of: ["GET /verify HTTP/1.1\r\nHost: a\r\n\r\n", "x", "0\r\n\r\n"]).utf8)
            switch Int.random(in: 0..<4, using: &self) {
            case 0: fields.append("Content-Length: 0")
            case 1:
                fields.append("Content-Length: \(content.count)")
                body = content
            case 2:
                fields.append("Transfer-Encoding: chunked")
                body = Array("\(String(content.count, radix: 16))\r\n".utf8) + content + Array("\r\n0\r\n\r\n".utf8)
            default:
                fields.append("Content-Length: 0\r\nTransfer-Encoding: chunked")
                body = Array("0\r\n\r\n".utf8)
            }
        }
        let version = isPlain || !chance(8) ? "HTTP/1.1" : one(of: ["HTTP/1.1 ", "HTTP/2.0", "http/1.1"])
        let end = isPlain || !chance(12) ? "\r\n" : one(of: ["\n", "\r\r\n", "\n\r\n"])
        let head = ([method + " " + path + " " + version] + fields).joined(separator: end) + end + end
        return Array(head.utf8) + body
    }

    private mutating func scope() -> String {
        one(of: [
            "anthropic:messages", "anthropic:messages, anthropic:count_tokens", "openai:responses", "bad\\scope",
            "a  b",
        ])
    }

    private mutating func token() -> String {
        let token = one(of: tokens)
        return switch Int.random(in: 0..<6, using: &self) {
        case 0: "garbage"
        case 1: token + "x"
        case 2: String(token.dropLast())
        default: token
        }
    }

    private mutating func odd() -> String {
        one(of: [
            "Connection: keep-alive", "Keep-Alive: 5", "x-empty:", "User-Agent: \u{E9}", "X: a b", "X:  a", "X: a ",
            "X: a\tb", "x : a", " x: a", "x", ": a", "X: a\r\n b", "Host: b", "X: a\u{1}b", "X: \u{0}", "X\u{E9}: a",
            "x-api-key:", "Authorization:", "Authorization: Bearer a", "Daypass-Require-Scope: b", "TE: trailers",
            "Trailer: x", "Proxy-Connection: keep-alive", "Expect: 100-continue", "If-None-Match: *", "Accept: */*",
            "X: \(String(repeating: "a", count: 3000))",
        ])
    }

    private mutating func mutated(_ bytes: [UInt8]) -> [UInt8] {
        var bytes = bytes
        let index = Int.random(in: 0..<bytes.count, using: &self)
        switch Int.random(in: 0..<4, using: &self) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &self)
        case 1: bytes.remove(at: index)
        case 2: bytes.insert(one(of: Array("\r\n\0 :\t\u{7F}".utf8)), at: index)
        default: bytes.insert(contentsOf: bytes[index...].prefix(40), at: index)
        }
        return bytes
    }
}
