import BrokerHTTP
import JOSE
import Testing

@Suite struct `A form body` {
    @Test func `gives each parameter decoded, and an empty one as absent`() throws {
        let form = try FormBody(parsing: Array("a=1&b=x%20y+z&c=&d&e=%C3%A9=&=f".utf8))
        #expect(form["a"] == "1")
        #expect(form["b"] == "x y z")
        #expect(form["c"] == nil)
        #expect(form["d"] == nil)
        #expect(form["e"] == "é=")
    }

    @Test func `lets audience and resource repeat, in their order, and nothing else`() throws {
        let form = try FormBody(parsing: Array("audience=a&resource=r&audience=b".utf8))
        #expect(form.all("audience") == ["a", "b"])
        #expect(form.all("resource") == ["r"])
        #expect(throws: FormFailure.repeated) { try FormBody(parsing: Array("scope=a&scope=a".utf8)) }
        #expect(throws: FormFailure.repeated) { try FormBody(parsing: Array("scope=a&sc%6Fpe=b".utf8)) }
    }

    @Test(arguments: ["a=%", "a=%4", "a=%zz", "a=%FF", "%80=a", "a=%ED%A0%80", "a=%C0%80"])
    func `is refused for a broken encoding`(_ text: String) {
        #expect(throws: FormFailure.encoding) { try FormBody(parsing: Array(text.utf8)) }
    }

    @Test(arguments: ["a=%00", "a=b%0A", "a=b\n", "a=\u{1}", "a%0D=b", "a=%7F"])
    func `is refused for a control character, a line feed at the end of a token too`(_ text: String) {
        #expect(throws: FormFailure.controlCharacter) { try FormBody(parsing: Array(text.utf8)) }
    }

    @Test func `is bounded in length and in the number of its parameters`() {
        #expect(throws: FormFailure.tooLong) {
            try FormBody(parsing: [UInt8](repeating: UInt8(ascii: "a"), count: FormBody.maximumLength + 1))
        }
        let many = (0...FormBody.maximumParameters).map { "p\($0)=1" }.joined(separator: "&")
        #expect(throws: FormFailure.tooManyParameters) { try FormBody(parsing: Array(many.utf8)) }
    }

    @Test func `tells canonically equivalent names apart`() throws {
        let form = try FormBody(parsing: Array("caf%C3%A9=1&cafe%CC%81=2".utf8))
        #expect(form["caf\u{E9}"] == "1")
        #expect(form["cafe\u{301}"] == "2")
    }
}
