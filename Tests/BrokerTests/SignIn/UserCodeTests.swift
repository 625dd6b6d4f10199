import BrokerTesting
import OpenSSL
import Testing

@testable import Broker

struct UserCodeTests {
    @Test(arguments: ["WDJB-MJHT", "wdjb-mjht", "wdjbmjht", " W D J B  mjht ", "W.D.J.B/M_J_H_T"])
    func `A code is the same however it is spelt`(typed: String) throws {
        let code = try #require(UserCode(typed: typed))
        #expect(code.text == "WDJB-MJHT")
        #expect(code == UserCode(typed: "WDJBMJHT"))
    }

    @Test(arguments: [
        "", "WDJB-MJH", "WDJB-MJHTT", "WDJB-MJHA", "WDJB-MJH1", "WDJB-MJH\u{422}", "WDJB\u{0}MJHT", "ＷDJB-MJHT",
        String(repeating: "-", count: 57) + "WDJBMJHT",
    ])
    func `What cannot be a code is none`(typed: String) {
        #expect(UserCode(typed: typed) == nil)
    }

    @Test func `Bytes that would make some letters likelier are passed over`() throws {
        let code = try UserCode(from: ScriptedRandom([255, 240, 0, 19, 20, 239]))
        #expect(code.text == "BZBZ-BZBZ")
    }

    @Test func `Every letter comes about equally often`() throws {
        var counts: [Character: Int] = [:]
        for _ in 0..<2000 { for letter in try UserCode(from: SystemRandom()).text { counts[letter, default: 0] += 1 } }
        counts["-"] = nil
        // 800 of each are expected; the chance of one outside of this is less than one in 10^10.
        #expect(counts.count == 20 && counts.values.allSatisfy { (600...1000).contains($0) })
    }

    @Test func `Neither a code nor a token is printed`() throws {
        let code = try UserCode(from: SystemRandom())
        let token = try OpaqueToken(from: SystemRandom())
        var dumped = ""
        dump((code, token.text, token), to: &dumped)
        #expect(!dumped.contains(code.text) && !"\(code)".contains(code.text.prefix(4)))
        #expect(!dumped.contains(token.text.reveal()) && !"\(token)".contains(token.text.reveal()))
    }

    @Test func `Without randomness there is no code`() {
        #expect(throws: OpenSSLError.self) { try UserCode(from: FailingRandom()) }
        #expect(throws: OpenSSLError.self) { try OpaqueToken(from: FailingRandom()) }
    }

    @Test(arguments: ["", "abc", String(repeating: "A", count: 42), String(repeating: "A", count: 44)])
    func `A token of another length is none`(text: String) {
        #expect(OpaqueToken(parsing: SecretText(text)) == nil)
    }

    @Test func `A token comes back from its text, and no second spelling of it does`() throws {
        let token = try OpaqueToken(from: ScriptedRandom())
        #expect(OpaqueToken(parsing: token.text)?.digest == token.digest)
        // Its last character has two bits that say nothing.
        let text = token.text.reveal()
        #expect(text.hasSuffix("8"))
        #expect(OpaqueToken(parsing: SecretText(text.dropLast() + "9")) == nil)
    }
}
