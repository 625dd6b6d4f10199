import Broker
import BrokerConfigurationYAML
import JOSE
import Testing

@Suite struct `sign_in` {
    private static func lines(_ signIn: String) -> [Int: String] {
        [
            8: "    issuer: https://login.example.com\n    audience: daypass",
            5: "sign_in: \(signIn)\nmaster_key_file: data/master.key",
        ]
    }

    @Test func `is left out where nobody signs in`() throws {
        #expect(try SampleConfiguration.read().configuration.signIn == nil)
    }

    @Test func `names an issuer, the client that the broker is there, its secret and scopes`() throws {
        let written = "{issuer: corp, client_id: daypass, client_secret_file: s.txt, scopes: [openid, groups]}"
        let signIn = try #require(try SampleConfiguration.read(Self.lines(written)).configuration.signIn)
        #expect(signIn.issuer.description == "corp" && signIn.clientID == "daypass")
        #expect(signIn.clientSecretFile?.hasSuffix("config/s.txt") == true)
        #expect(signIn.scopes == ["openid", "groups"])
    }

    @Test func `asks for what it takes to stay signed in where it names no scopes, and needs no secret`() throws {
        let signIn = try SampleConfiguration.read(Self.lines("{issuer: corp, client_id: daypass}")).configuration.signIn
        #expect(signIn?.scopes == ["openid", "email", "profile", "offline_access"])
        #expect(signIn?.clientSecretFile == nil)
    }

    @Test(arguments: [
        ("{}", #"5:10: expected the key "issuer" in sign_in"#),
        ("{issuer: corp}", #"5:10: expected the key "client_id" in sign_in"#),
        ("{issuer: other, client_id: daypass}", "5:19: expected the name of one of the issuers"),
        (
            "{issuer: corp, client_id: other}",
            #"5:36: expected the audience of the issuer corp, which is "daypass""#
        ),
        ("{issuer: corp, client_id: daypass, secret: x}", #"5:45: unknown key "secret""#),
        ("{issuer: corp, client_id: daypass, scopes: [email]}", "5:53: expected scopes without spaces"),
        ("{issuer: corp, client_id: daypass, scopes: [openid, 'a b']}", "5:53: expected scopes without spaces"),
    ])
    func `is refused where it could not work`(written: String, error: String) {
        let errors = SampleConfiguration.errors(Self.lines(written))
        #expect(errors.contains { $0.hasPrefix(error) }, "\(errors)")
    }
}
