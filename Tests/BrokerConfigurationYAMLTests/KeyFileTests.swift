import Broker
import BrokerConfigurationYAML
import BrokerTesting
import JOSE
import Testing

@Suite struct `Key sets in files` {
    private static func read(_ json: [UInt8], algorithms: String = "[RS256]") throws -> ConfigurationReader.Reading {
        try SampleConfiguration.read(lines(algorithms), files: ["config/keys.json": json])
    }

    private static func errors(_ json: [UInt8], algorithms: String = "[RS256]") -> [String] {
        SampleConfiguration.errors(lines(algorithms), files: ["config/keys.json": json])
    }

    private static func lines(_ algorithms: String) -> [Int: String] {
        [8: SampleConfiguration.lines[7] + "\n    keys: {file: keys.json}\n    algorithms: \(algorithms)"]
    }

    private static let foreign = #"{"kty":"OKP","crv":"X25519","x":"AAAA","use":"enc"},{"kty":"unheard-of"}"#

    private static func set(_ entries: String) -> [UInt8] { Array("{\"keys\":[\(entries)]}".utf8) }

    @Test func `a sound set is read at load, keys for other purposes left aside`() throws {
        let issuer = try TestIssuer()
        let key = String(decoding: issuer.jwk.json.encoded(), as: UTF8.self)
        let reading = try Self.read(Self.set("\(Self.foreign),\(key)"))
        guard case .inline(let keys, let path) = reading.configuration.issuers.first?.keys else {
            Issue.record("the keys are not inline")
            return
        }
        #expect(Array(keys.keys.keys) == [issuer.keyID])
        #expect(path == "config/keys.json")
    }

    @Test(arguments: [
        (set(#"{"kty":"oct","k":"AAAA","kid":"a"}"#), "key 1 of the set cannot be used: it is a symmetric key"),
        (
            set(#"\#(foreign),{"kty":"OKP","crv":"Ed448","kid":"a","x":"AAAA"}"#),
            "key 3 of the set cannot be used: its crv is none of P-256, P-384, P-521 and Ed25519"
        ),
        (
            set(#"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#),
            "key 1 of the set cannot be used: its kid is missing or malformed"
        ),
        (set(foreign), "it has no key that can be used"),
        (set(""), "it has no key that can be used"),
        (Array("{}".utf8), "the key set has no array `keys`"),
        ([UInt8](repeating: 0x20, count: (512 << 10) + 1), "it is too large"),
    ])
    func `an unusable key is an error with the file, the entry and the reason`(json: [UInt8], reason: String) {
        #expect(Self.errors(json) == ["9:18: config/keys.json: \(reason)"])
    }

    @Test func `text that is no JSON and a missing file are errors`() {
        #expect(Self.errors(Array("keys".utf8)).first?.hasPrefix("9:18: config/keys.json: the key set is ") == true)
        #expect(
            SampleConfiguration.errors(Self.lines("[RS256]")) == ["9:18: config/keys.json: there is no such file"])
    }

    @Test func `one bad key spoils a set that has a good one`() throws {
        let key = String(decoding: try TestIssuer().jwk.json.encoded(), as: UTF8.self)
        #expect(
            Self.errors(Self.set(#"\#(key),{"kty":"oct","k":"AAAA","kid":"a"}"#))
                == ["9:18: config/keys.json: key 2 of the set cannot be used: it is a symmetric key"])
    }

    @Test func `a set without a key for any of the issuer's algorithms is an error`() throws {
        let issuer = try TestIssuer(algorithm: .ES256)
        #expect(
            Self.errors(issuer.jwks, algorithms: "[RS256, ES384]")
                == ["9:18: config/keys.json: no key of it fits the issuer's algorithms (RS256, ES384)"])
        #expect(Self.errors(issuer.jwks, algorithms: "[RS256, ES256]") == [])
    }
}
