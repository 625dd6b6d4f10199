import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

/// Tokens that are no tokens, and tokens whose signature is none.
@Suite struct TokenShapeTests {
    private func token(_ change: (inout TokenSegments) throws -> Void) throws -> String {
        let issuer = try Fixture.issuer
        var segments = TokenSegments(try issuer.token(issuer.claims(at: Fixture.now)))
        try change(&segments)
        return segments.token
    }

    private func reason(_ token: String) async throws -> AuthenticationFailure.Reason? {
        await refusal(of: token, by: try Fixture.authenticator(Fixture.issuer))
    }

    @Test(arguments: ["", ".", "..", "a", "a.b", "...", "a.b.c.d", "....", "a..c", ".b.c", "a.b."])
    func `what has not three segments is refused`(token: String) async throws {
        #expect([.jws(.segments), .jws(.base64url)].contains(try await reason(token)))
    }

    @Test func `an encrypted token of five parts is refused`() async throws {
        #expect(try await reason(try token { $0.signature += ".x.y" }) == .jws(.segments))
    }

    @Test(arguments: ["=", "==", " ", "\n", "+", "/", "%", "\u{E9}", "\0"])
    func `a second spelling of a segment is refused`(suffix: String) async throws {
        for path in [\TokenSegments.header, \.payload, \.signature] {
            #expect(try await reason(token { $0[keyPath: path] += suffix }) == .jws(.base64url))
        }
    }

    @Test func `unused bits that are set are refused`() async throws {
        // 256 bytes leave two unused bits in the last character.
        let token = try token { segments in
            let last = segments.signature.removeLast()
            let alphabet = Array("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
            let index = try #require(alphabet.firstIndex(of: last))
            segments.signature.append(alphabet[index | 1])
        }
        #expect(try await reason(token) == .jws(.base64url))
    }

    @Test func `a token of the greatest length is read and one byte more is not`() async throws {
        let issuer = try Fixture.issuer
        func padded(_ count: Int) throws -> String {
            try issuer.token(
                issuer.claims(at: Fixture.now).merging([
                    "pad": .string(ExactString(String(repeating: "x", count: count)))
                ]))
        }
        var count = (CompactJWS.maximumLength - (try padded(0)).utf8.count) * 3 / 4 + 4
        while try padded(count).utf8.count > CompactJWS.maximumLength { count -= 1 }
        let longest = try padded(count)
        #expect(CompactJWS.maximumLength - longest.utf8.count < 3)
        #expect(try await reason(longest) == nil)
        #expect(try await reason(longest + "AAAA") == .jws(.tooLong))
        #expect(try await reason(String(repeating: ".", count: 10 * 1024 * 1024)) == .jws(.tooLong))
        #expect(try await reason(String(repeating: ".", count: 16 * 1024)) == .jws(.segments))
    }

    @Test(arguments: [
        (#"{"alg":"RS256","alg":"RS256","kid":"k"}"#, JSONFailure.Reason.duplicateMember),
        (#"{"alg":"RS256","\u0061lg":"RS256","kid":"k"}"#, .duplicateMember), ("[]", .notAnObject),
        ("null", .notAnObject),
        ("{} {}", .trailing), ("{\"alg\":\"RS256\"", .unexpected), ("\u{FEFF}{}", .unexpected),
        (String(repeating: #"{"a":"#, count: 9) + "1" + String(repeating: "}", count: 9), .depth),
        (String(repeating: "[", count: 10_000), .depth),
    ])
    func `a header that is no strict JSON is refused`(header: String, failure: JSONFailure.Reason) async throws {
        let token = try Fixture.issuer.token(rawHeader: header, rawPayload: "{}")
        guard case .jws(.headerJSON(let got)) = try await reason(token) else {
            Issue.record("not refused for its header")
            return
        }
        #expect(got.reason == failure)
    }

    @Test(arguments: [
        (#","sub":"mallory"}"#, JSONFailure.Reason.duplicateMember), (#","\u0073ub":"mallory"}"#, .duplicateMember),
        (#","\u0061ud":"x"}"#, .duplicateMember), (#","x":{"a":1,"a":1}}"#, .duplicateMember), ("}}", .trailing),
        ("", .unexpected), (#","x":[[[[[[[[1]]]]]]]]}"#, .depth), (#","x":"\ud800"}"#, .surrogate),
        (#","x":01}"#, .unexpected),
        (#","x":tru}"#, .unexpected), (#","x":"a\#n"}"#, .controlCharacter), (",}", .unexpected),
        (#","x":NaN}"#, .unexpected),
    ])
    func `claims that are no strict JSON are refused`(end: String, failure: JSONFailure.Reason) async throws {
        let end = end.replacing("\\#n", with: "\n")
        let start = String(decoding: try Fixture.issuer.claims(at: Fixture.now).encoded().dropLast(), as: UTF8.self)
        let token = try Fixture.issuer.token(rawPayload: start + end)
        guard case .claimsJSON(let got) = try await reason(token) else {
            Issue.record("not refused for its claims")
            return
        }
        #expect([failure, .number].contains(got.reason))
    }

    @Test func `claims that are not UTF-8 are refused`() async throws {
        let issuer = try Fixture.issuer
        var payload = issuer.claims(subject: "alice", at: Fixture.now).encoded()
        let place = try #require(payload.firstRange(of: Array("alice".utf8)))
        payload[place.lowerBound] = 0xFF
        let token = try issuer.token(rawHeader: issuer.header.encoded(), rawPayload: payload)
        guard case .claimsJSON(let failure) = try await reason(token) else {
            Issue.record("accepted")
            return
        }
        #expect(failure.reason == .notUTF8)
    }

    @Test func `the JSON serialisation of a JWS is no token`() async throws {
        let issuer = try Fixture.issuer
        let good = TokenSegments(try issuer.token(issuer.claims(at: Fixture.now)))
        let json = #"{"payload":"\#(good.payload)","protected":"\#(good.header)","signature":"\#(good.signature)"}"#
        #expect(try await reason(json) == .jws(.segments))
        let polyglot = #"{"  \#(good.header).\#(good.payload).\#(good.signature)","x":""}"#
        #expect(try await reason(polyglot) == .jws(.base64url))
    }

    @Test func `a signature that was altered, shortened or lengthened is none`() async throws {
        let changes: [(inout [UInt8]) -> Void] = [
            { $0[0] ^= 0x80 }, { $0[255] ^= 1 }, { $0.removeLast() }, { $0.removeFirst() },
            { $0.append(0) }, { $0.insert(0, at: 0) }, { $0 = [0] }, { $0 = Array(repeating: 0, count: 256) },
            { $0 = Array(repeating: 0xFF, count: 256) }, { $0.reverse() }, { $0 += $0 },
        ]
        for (index, change) in changes.enumerated() {
            let token = try token { change(&$0.signatureBytes) }
            #expect(try await reason(token) == .jws(.signature), "change \(index)")
        }
        #expect(try await reason(token { $0.signature = "" }) == .jws(.segments))
    }

    @Test func `an ECDSA signature of zeros, or longer than its curve, is none`() async throws {
        let issuer = try TestIssuer(algorithm: .ES256)
        let authenticator = try Fixture.authenticator(issuer)
        let good = TokenSegments(try issuer.token(issuer.claims(at: Fixture.now)))
        #expect(await refusal(of: good.token, by: authenticator) == nil)
        let changes: [(inout [UInt8]) -> Void] = [
            { $0 = Array(repeating: 0, count: 64) }, { $0.append(0) },
            { $0.insert(0, at: 0) },
            { $0 = Array($0[0..<32]) + [0] + Array($0[32...]) }, { $0.removeLast() },
            { $0 = Array($0[32...]) + Array($0[..<32]) },
        ]
        for change in changes {
            var segments = good
            change(&segments.signatureBytes)
            #expect(await refusal(of: segments.token, by: authenticator) == .jws(.signature))
        }
    }

    @Test func `a payload or header of another token is not what was signed`() async throws {
        let issuer = try Fixture.issuer
        let other = TokenSegments(try issuer.token(issuer.claims(subject: "mallory", at: Fixture.now)))
        #expect(try await reason(token { $0.payload = other.payload }) == .jws(.signature))
        let header = TokenSegments(
            try issuer.token(issuer.claims(at: Fixture.now), header: ["typ": "at+jwt"])
        ).header
        #expect(try await reason(token { $0.header = header }) == .jws(.signature))
    }

    @Test func `a public key is no secret to sign with`() async throws {
        let issuer = try Fixture.issuer
        let numbers = try #require(issuer.publicKey.rsaNumbers)
        for secret in [numbers.modulus, Array(" ".utf8) + issuer.jwk.json.encoded(), issuer.jwk.json.encoded()] {
            let header = issuer.header.merging(["alg": "HS256"])
            let input =
                Base64URL.encode(header.encoded()) + "." + Base64URL.encode(issuer.claims(at: Fixture.now).encoded())
            let tag = HashAlgorithm.sha256.digest(secret + Array(input.utf8))
            #expect(try await reason("\(input).\(Base64URL.encode(tag))") == .jws(.algorithm))
        }
    }
}
