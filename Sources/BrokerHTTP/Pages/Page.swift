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

    func response(cookies: [String] = []) -> Response {
        var headers: HTTPFields = [
            .contentType: "text/html; charset=utf-8", .cacheControl: "no-store",
            .contentSecurityPolicy: Self.policy, .xContentTypeOptions: "nosniff",
        ]
        for (name, value) in Self.fields { headers[name] = value }
        for cookie in cookies { headers.append(HTTPField(name: .setCookie, value: cookie)) }
        return Response(
            status: status, headers: headers, body: ResponseBody(byteBuffer: ByteBuffer(string: document.text)))
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
            \(refresh)<title>\(title) · Daypass</title>
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
        --accent:#1d4ed8;--on:#fff;--bad:#b42318}\
        @media (prefers-color-scheme:dark){:root{--back:#101214;--card:#1b1e22;--text:#eceef0;--soft:#a8afb8;\
        --line:#6b737d;--accent:#8ab4ff;--on:#0b1220;--bad:#ff9a8f}}\
        *{box-sizing:border-box}\
        body{margin:0;background:var(--back);color:var(--text);font:1rem/1.5 system-ui,sans-serif}\
        main{max-width:30rem;margin:8vh auto;padding:2rem;background:var(--card);border-radius:.75rem}\
        @media (max-width:34rem){main{margin:0;min-height:100vh;border-radius:0;padding:1.5rem 1.25rem}}\
        .brand{margin:0 0 1.5rem;color:var(--soft);font-weight:600}\
        h1{margin:0 0 1rem;font-size:1.5rem;line-height:1.25}p{margin:0 0 1rem}.soft{color:var(--soft)}\
        .bad{color:var(--bad);font-weight:600}\
        label{display:block;margin:0 0 .375rem;font-weight:600}\
        input[type=text]{width:100%;padding:.75rem;border:1px solid var(--line);border-radius:.5rem;\
        background:var(--card);color:inherit;font:1.5rem ui-monospace,monospace;letter-spacing:.1em;\
        text-transform:uppercase}\
        .code{font:1.5rem ui-monospace,monospace;letter-spacing:.1em}\
        button,.button{display:block;width:100%;margin:1rem 0 0;padding:.75rem 1rem;border:1px solid var(--accent);\
        border-radius:.5rem;background:var(--accent);color:var(--on);font:inherit;font-weight:600;text-align:center;\
        text-decoration:none;cursor:pointer}\
        button.second{background:transparent;color:var(--accent)}\
        :focus-visible{outline:3px solid var(--accent);outline-offset:2px}\
        dl{margin:0 0 1.25rem}dt{color:var(--soft)}dd{margin:0 0 .625rem;overflow-wrap:anywhere}\
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
