import ArgumentParser
import BrokerClient
import FoundationEssentials

/// Where somebody signs in or out.
struct SignInOptions: ParsableArguments {
    @Option(help: ArgumentHelp("The broker's public address; else DAYPASS_URL.", valueName: "url"))
    var url: String?

    @Option(
        help: ArgumentHelp(
            "The authorities that vouch for the broker's certificate, PEM; else DAYPASS_CA_FILE, else the system's.",
            valueName: "file"),
        completion: .file())
    var caFile: String?

    /// - Parameter environment: without variables that are empty.
    func place(in environment: [String: String]) throws -> (origin: String, signIn: DeveloperSignIn) {
        let origin = try TokenArguments(url: url).origin(in: environment)
        do throws(TokenFailure) {
            let authorities = caFile ?? environment["DAYPASS_CA_FILE"]
            return (origin, try DeveloperSignIn(origin, authorities: authorities, in: environment))
        } catch {
            throw CommandFailure(error)
        }
    }
}
