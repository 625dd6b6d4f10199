import Broker
import BrokerTesting
import Foundation
import JOSE
import OpenSSL
import Testing

@Suite struct SecretTextTests {
    @Test func `it shows nothing, however it is printed`() {
        let secret = SecretText("hunter2-hunter2")
        struct Holder { let secret: SecretText }
        var dumped = ""
        dump(Holder(secret: secret), to: &dumped)
        let optional: SecretText? = secret
        for shown in [
            "\(secret)", "\(String(describing: optional))", "\([secret])", "\(Holder(secret: secret))", dumped,
            String(reflecting: secret), String(reflecting: Holder(secret: secret)), "\(["k": secret])",
        ] {
            #expect(!shown.contains("hunter2"))
        }
        #expect(secret.reveal() == "hunter2-hunter2")
        #expect(secret.count == 15)
    }
}

@Suite struct TraceIDTests {
    @Test func `it is 32 hexadecimal digits, and reads back`() throws {
        for _ in 0..<100 {
            let trace = TraceID()
            #expect(trace.description.wholeMatch(of: /[0-9a-f]{32}/) != nil)
            #expect(TraceID(parsing: trace.description) == trace)
        }
        #expect(Set((0..<1000).map { _ in TraceID() }).count == 1000)
    }

    @Test(arguments: [
        "", "0123", String(repeating: "0", count: 31), String(repeating: "0", count: 33),
        String(repeating: "A", count: 32),
        String(repeating: "g", count: 32), String(repeating: "0", count: 31) + "\n",
        String(repeating: "\u{660}", count: 16),
    ])
    func `anything else is none`(text: String) {
        #expect(TraceID(parsing: text) == nil)
    }
}

@Suite struct RandomSourceTests {
    @Test func `an identifier is 128 bits in base64url`() throws {
        #expect(try ScriptedRandom([0xFF]).identifier() == "_____________________w")
        for byte in UInt8(0xF8)...0xFB {
            let text = try ScriptedRandom([byte]).identifier()
            #expect(text.utf8.first == UInt8(ascii: "e"), "no command may take \(text) for an option")
        }
        #expect(try SystemRandom().identifier().utf8.count == 22)
        #expect(try SystemRandom().identifier() != SystemRandom().identifier())
        #expect(throws: OpenSSLError.self) { try FailingRandom().identifier() }
    }

    @Test func `a duration is told in seconds with its fraction`() {
        #expect(Duration.milliseconds(1500).seconds == 1.5)
        #expect(Duration.seconds(-2).seconds == -2)
    }
}
