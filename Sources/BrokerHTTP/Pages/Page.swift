import FoundationEssentials
import HTTPTypes
import Hummingbird
import NIOCore
import OpenSSL

/// A page for a person, and the fields that keep others from using it: no script, nothing from elsewhere, in no frame.
struct Page: Sendable {
    let title: String
    let body: HTML
    var status: HTTPResponse.Status = .ok
    /// Where the browser goes on to by itself.
    var next: String?
    /// Whether something did not work: a screen reader says the title first.
    var isProblem = false
    /// In seconds; where it is nil, what is usual for the status.
    var retryAfter: Int?

    func response(cookies: [String] = []) -> Response {
        var headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8", .cacheControl: "no-store",
            .contentSecurityPolicy: Self.policy, .xContentTypeOptions: "nosniff",
        ]
        for (name, value) in Self.fields { headers[name] = value }
        if let seconds = retryAfter ?? Self.wait(after: status) { headers[.retryAfter] = "\(seconds)" }
        for cookie in cookies { headers.append(HTTPField(name: .setCookie, value: cookie)) }
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: document.text)))
    }

    private static func wait(after status: HTTPResponse.Status) -> Int? {
        switch status {
        case .tooManyRequests: 1
        case .serviceUnavailable: 60
        default: nil
        }
    }

    private var document: HTML {
        let refresh: HTML = next.map { "<meta http-equiv=\"refresh\" content=\"0;url=\($0)\">" } ?? ""
        return """
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            \(refresh)<title>\(isProblem ? "Problem: " : "")\(title) · Daypass</title>
            <style>\(Self.styleText)</style>
            </head>
            <body>
            <main>
            <p class="brand">Daypass</p>
            <h1>\(title)</h1>
            \(body)
            </main>
            </body>
            </html>
            """
    }

    private static let styleText: HTML = """
        :root{color-scheme:light dark;--back:#f4f5f7;--card:#fff;--text:#1a1d21;--soft:#565d66;--line:#8a929c;\
        --rule:#dfe3e8;--accent:#1d4ed8;--on:#fff;--bad:#b42318;--good:#1a6b3c;--note:#fff6e5}\
        @media (prefers-color-scheme:dark){:root{--back:#101214;--card:#1b1e22;--text:#eceef0;--soft:#a8afb8;\
        --line:#7a828c;--rule:#32373d;--accent:#8ab4ff;--on:#0b1220;--bad:#ff9a8f;--good:#7fd6a2;--note:#2c2618}}\
        *{box-sizing:border-box}\
        body{margin:0;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
        main{max-width:32rem;margin:8vh auto;padding:2rem;background:var(--card);border-radius:.75rem}\
        @media (max-width:35rem){main{margin:0;min-height:100vh;border-radius:0;padding:1.5rem 1.25rem}}\
        .brand{margin:0 0 1.5rem;color:var(--soft);font-weight:600}\
        h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25;overflow-wrap:anywhere}\
        h2{margin:1.5rem 0 .5rem;font-size:1.125rem;line-height:1.3;overflow-wrap:anywhere}\
        p{margin:0 0 1rem;overflow-wrap:anywhere}a{color:var(--accent)}\
        .bad{color:var(--bad);font-weight:600}.good{color:var(--good);font-weight:600}\
        .warning{padding:.75rem 1rem;border-left:4px solid var(--bad);border-radius:.25rem;background:var(--note)}\
        label{display:block;margin:0;font-weight:600}.hint{margin:0 0 .5rem;color:var(--soft)}\
        input[type=text]{width:100%;min-height:3.25rem;padding:.5rem .75rem;border:1px solid var(--line);\
        border-radius:.5rem;background:var(--card);color:inherit;font:1.5rem ui-monospace,monospace;\
        letter-spacing:.1em;text-transform:uppercase}\
        input[aria-invalid]{border:2px solid var(--bad)}\
        .code{font:1.5rem ui-monospace,monospace;letter-spacing:.1em}code{font:.9375rem ui-monospace,monospace}\
        button,.button{display:block;width:100%;min-height:3rem;margin:1rem 0 0;padding:.75rem 1rem;\
        border:1px solid var(--accent);border-radius:.5rem;background:var(--accent);color:var(--on);font:inherit;\
        font-weight:600;text-align:center;text-decoration:none;overflow-wrap:anywhere;cursor:pointer}\
        button.second,button.danger{background:transparent;color:var(--accent)}\
        button.danger{border-color:var(--bad);color:var(--bad)}\
        :focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
        dl{margin:0 0 1.25rem}dt{color:var(--soft);font-size:.875rem}\
        dd{margin:0 0 .5rem;overflow-wrap:anywhere}dd+dd{margin-top:-.5rem}\
        @media (min-width:35.01rem){dl{display:grid;grid-template-columns:7.5rem 1fr;column-gap:1rem}\
        dt{grid-column:1;font-size:1rem}dd{grid-column:2}section dl{grid-template-columns:5.5rem 1fr}}\
        section{margin:0 0 1.25rem;padding:1rem 1.25rem 1.25rem;border:1px solid var(--rule);border-radius:.5rem}\
        section h2{margin-top:0}section dl{margin-bottom:0}section button{margin-top:.75rem}\
        .foot{margin:1.5rem 0 0}\
        .trace{margin:1.5rem 0 0;color:var(--soft);font-size:.875rem;overflow-wrap:anywhere}
        """

    /// Of the one style that there is, only the very bytes above are let through.
    private static let policy: String = {
        let digest = Data(HashAlgorithm.sha256.digest(Array(styleText.text.utf8))).base64EncodedString()
        return "default-src 'none'; style-src 'sha256-\(digest)'; form-action 'self'; frame-ancestors 'none'; "
            + "base-uri 'none'"
    }()

    /// The browser still says to ourselves which of our pages a form was sent from.
    private static let fields: [(HTTPField.Name, String)] = [
        ("X-Frame-Options", "DENY"), ("Referrer-Policy", "same-origin"), ("Cross-Origin-Opener-Policy", "same-origin"),
        ("X-Robots-Tag", "noindex"),
    ].compactMap { name, value in HTTPField.Name(name).map { ($0, value) } }
}
