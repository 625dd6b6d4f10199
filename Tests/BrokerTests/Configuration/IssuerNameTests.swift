import Broker
import BrokerTesting
import Foundation
import JOSE
import SPIFFE
import Testing

@Suite struct `The name of who vouches for a subject` {
    @Test func `of a trust domain is no issuer's, and comes back from a record`() throws {
        let name = IssuerName(try TrustDomain(parsing: "prod.example.com"))
        #expect(name.text == "spiffe://prod.example.com")
        #expect(IssuerName(parsing: name.text.string) == nil)
        #expect(IssuerName(recorded: name.text) == name)
        #expect(IssuerName(recorded: name.text)?.trustDomain == name.trustDomain)
        #expect(IssuerName(recorded: "corp")?.trustDomain == nil)
    }

    @Test(arguments: [
        "spiffe", "spiffe:", "spiffe://", "spiffe://A", "spiffe://a/b", "spiffe://a/", "Corp", "a:b", "",
    ])
    func `in another form is none`(text: String) {
        #expect(IssuerName(recorded: ExactString(text)) == nil)
    }

    @Test(
        arguments: [
            ("corp:alice", "corp"), ("corp:spiffe://a/b", "corp"), ("spiffe://a/b", "spiffe://a"), ("spiffe:a", nil),
            ("spiffe://A/b", nil), ("alice", "alice"), ("", nil),
        ] as [(String, String?)])
    func `is what the subject begins with`(subject: String, name: String?) {
        #expect(IssuerName(of: ExactString(subject))?.text.string == name)
    }
}
