import Testing

@testable import BrokerClient

@Suite struct `Text of a token` {
    @Test(arguments: ["", "a b", "a\n", "é", "a\u{7F}", String(repeating: "a", count: 16_385)])
    func `is printable ASCII of bounded length`(text: String) {
        #expect(TokenText(text) == nil)
    }

    @Test func `prints as nothing that it says`() throws {
        let token = try #require(TokenText("eyJsecret.eyJsecret.secret"))
        #expect("\(token)\(String(reflecting: token))\([token])".contains("secret.") == false)
        var dumped = ""
        dump(token, to: &dumped)
        #expect(!dumped.contains("eyJ"))
        #expect(!"\(Proof.identityToken(token))".contains("eyJ"))
        let issued = IssuedToken(token: token, scope: "a", session: "s", lifetime: 1)
        #expect(!"\(issued) \(HeldToken(issued, received: 1))".contains("eyJ"))
    }

    @Test(arguments: [
        ("not acceptable: eyJhbGciOiJSUzI1NiJ9.eyJhIjoxfQ.c2ln!", "not acceptable: (a token)!"),
        ("x=eyJhbGciOiJSUzI1NiJ9", "x=(a token)"), ("opaque-secret is bad", "(a token) is bad"),
        ("eyJ is short", "eyJ is short"), ("nothing", "nothing"),
    ])
    func `is hidden in the words of others`(words: String, shown: String) throws {
        let secret = try #require(TokenText("opaque-secret"))
        #expect(TokenText.hidden(in: words, [secret]) == shown)
        #expect(TokenText.hidden(in: String(repeating: "a ", count: 5000)).utf8.count < 600)
    }
}
