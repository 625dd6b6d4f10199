import FoundationEssentials
import NIOHTTP1

/// How a job of GitHub Actions asks for an identity token: `GET $ACTIONS_ID_TOKEN_REQUEST_URL&audience=A` with
/// `Authorization: Bearer $ACTIONS_ID_TOKEN_REQUEST_TOKEN`; the member `value` of the answer is the token.
struct GitHubTokenRequest {
    private let url: String
    /// Of this job alone.
    let secret: TokenText

    init(_ environment: [String: String]) throws(TokenFailure) {
        guard let url = environment["ACTIONS_ID_TOKEN_REQUEST_URL"], !url.isEmpty,
            let secret = environment["ACTIONS_ID_TOKEN_REQUEST_TOKEN"].flatMap({ TokenText($0) })
        else { throw .noIdentity(Identity.absence(in: ["GITHUB_ACTIONS": "true"])) }
        // What goes there is the job's secret.
        let origin = url.split(separator: "/", maxSplits: 3, omittingEmptySubsequences: false).prefix(3)
        guard origin.count == 3, BrokerAddress.origin(parsing: origin.joined(separator: "/")) != nil else {
            throw .noIdentity("ACTIONS_ID_TOKEN_REQUEST_URL is no https URL")
        }
        (self.url, self.secret) = (url, secret)
    }

    func token(audience: String, over http: BoundedHTTP, within time: Duration) async throws(TokenFailure) -> TokenText
    {
        let separator = url.contains("?") ? "&" : "?"
        var request = BoundedHTTP.Request(url: "\(url)\(separator)audience=\(AdministrationClient.encode(audience))")
        request.headers.add(name: "Authorization", value: "Bearer \(secret.reveal())")
        request.headers.add(name: "Accept", value: "application/json")
        let answer: BoundedHTTP.Answer
        do throws(TokenFailure) {
            answer = try await http.send(request, within: time)
        } catch {
            throw .unreachable("GitHub's token service cannot be asked: \(error.words)")
        }
        let words = "GitHub's token service answers \(answer.status)"
        switch answer.status {
        case 200: break
        case 429, 503: throw .overloaded(words, after: answer.pause)
        case 500...599: throw .unreachable(words)
        default: throw .noIdentity(words)
        }
        guard let token = (try? JSON(parsing: answer.body, depth: 8))?["value"]?.text.flatMap({ TokenText($0) }) else {
            throw .noIdentity("GitHub's token service answers without a token")
        }
        return token
    }
}
