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

    @Test func `hands on parameters that the provider wants beside ours`() throws {
        let written = "{issuer: corp, client_id: daypass, parameters: {access_type: offline, max_age: '3600'}}"
        let signIn = try SampleConfiguration.read(Self.lines(written)).configuration.signIn
        #expect(signIn?.parameters.map(\.name) == ["access_type", "max_age"])
        #expect(signIn?.parameters.map(\.value) == ["offline", "3600"])
    }

    @Test(arguments: SignInConfiguration.ownParameters.map(\.string).sorted())
    func `lets nobody configure a parameter that the broker itself sets`(name: String) {
        let errors = SampleConfiguration.errors(
            Self.lines("{issuer: corp, client_id: daypass, parameters: {\(name): x}}"))
        #expect(errors.contains { $0.contains("5:58: \(name) is not to be configured") }, "\(errors)")
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
        ("{issuer: corp, client_id: daypass, parameters: {}}", "5:57: expected a mapping of 1 to 16 parameters"),
        ("{issuer: corp, client_id: daypass, parameters: {max_age: 1}}", "5:67: expected text"),
        ("{issuer: corp, client_id: daypass, scopes: [email]}", "5:53: expected scopes without spaces"),
        ("{issuer: corp, client_id: daypass, scopes: [openid, 'a b']}", "5:53: expected scopes without spaces"),
    ])
    func `is refused where it could not work`(written: String, error: String) {
        let errors = SampleConfiguration.errors(Self.lines(written))
        #expect(errors.contains { $0.hasPrefix(error) }, "\(errors)")
    }
}
