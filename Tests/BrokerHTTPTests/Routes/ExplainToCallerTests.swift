import Broker
@testable import BrokerHTTP
import BrokerTesting
import JOSE
import Testing

/// How a refusal that explains itself looks on the wire.
@Suite struct `A refusal that explains itself` {
    @Test(arguments: GrantType.allCases)
    func `names the claims, in every protocol, beside what it says otherwise`(_ type: GrantType) throws {
        let plain = OAuthError(ExchangeRefusal.subjectToken, speaking: type)
        let explained = OAuthError(ExchangeRefusal.unmatched(["ref", "/a b/\"c\"\\é"]), speaking: type)
        #expect(explained.code == plain.code && explained.status == plain.status)
        let body = explained.json(trace: TraceID())
        #expect(body["unmatched"] == ["ref", "/a b/\"c\"\\é"])
        let words = try #require(body["error_description"]?.string?.string)
        #expect(words.hasPrefix(plain.description + "; not matched: ref, /a%20b/c%C3%A9 (trace "))
        // RFC 6749 §5.2
        #expect(words.utf8.allSatisfy { (0x20...0x7E).contains($0) && $0 != 0x22 && $0 != 0x5C })
        #expect(plain.json(trace: TraceID())["unmatched"] == nil)
    }
}
