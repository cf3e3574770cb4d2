using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Security;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;

namespace DefenderXdr.Tests;

/// <summary>What went wrong in a check.</summary>
internal sealed class Wrong(string message) : Exception(message);

/// <summary>The same checks through one kind of binding.</summary>
internal sealed class Suite<N>(string kind, string[] args) where N : INative
{
    private const int Ok = 0, NullPointer = 1000, BadUtf8 = 1001, BadHandle = 1002, TooLarge = 1003, BadArgument = 1004;
    private const int Cancelled = 2000, BadSecret = 4004, AccountNotFound = 7007, BadFilter = 9003, NotFound = 9002;
    private const int Running = 0, Event = 1, Item = 2, Done = 3, Failed = 4, WasCancelled = 5;
    private const uint Long = 120_000;

    private readonly string tenant = args[0], clientId = args[1], secret = args[2], publicClientId = args[3];

    public (int Passed, int Failed) Run()
    {
        var (passed, failed) = (0, 0);
        foreach (var check in new Action[]
        {
            VersionAndNames, WrongArguments, ASecretAsSecureString, AWrongSecret, TokenAndIncidents, OneIncident, ABadFilter, Cancelling, APersonPastes,
            ACertificateOfDotNet, AWindowsAccount, ManyThreads, EverythingOnce,
        })
        {
            try
            {
                check();
                passed++;
                Console.WriteLine($"ok {kind} {check.Method.Name}");
            }
            catch (Exception e)
            {
                failed++;
                Console.WriteLine($"FAILED {kind} {check.Method.Name}: {e}");
            }
        }
        return (passed, failed);
    }

    private static void Require(bool condition, [CallerArgumentExpression(nameof(condition))] string text = "")
    {
        if (!condition)
        {
            throw new Wrong(text);
        }
    }

    private static void Same<T>(T want, T got, [CallerArgumentExpression(nameof(got))] string text = "")
    {
        if (!EqualityComparer<T>.Default.Equals(want, got))
        {
            throw new Wrong($"{text} is {got}, not {want}");
        }
    }

    private static byte[] Utf8(string text) => Encoding.UTF8.GetBytes(text);

    private static string Text(nint data, nuint len) => Marshal.PtrToStringUTF8(data, (int)len);

    /// <summary>The text of a buffer, which is freed.</summary>
    private static string Take(nint buf)
    {
        Same(Ok, N.dxdr_buf_get(buf, out var data, out var len));
        Same((byte)0, Marshal.ReadByte(data, (int)len));
        var text = Text(data, len);
        Same(Ok, N.dxdr_buf_free(buf));
        return text;
    }

    private static JsonElement Json(nint buf) => JsonSerializer.Deserialize<JsonElement>(Take(buf));

    /// <summary>Throws with the error document of a call that should have succeeded.</summary>
    private static void Good(int status, nint error)
    {
        if (status != Ok)
        {
            throw new Wrong(error == 0 ? $"status {status}" : Take(error));
        }
        Same(0, error);
    }

    /// <summary>Takes the error document of a call that should have failed.</summary>
    private static JsonElement Bad(int want, int status, nint error)
    {
        Same(want, status);
        var document = Json(error);
        Same(want, document.GetProperty("code").GetInt32());
        Same(Marshal.PtrToStringUTF8(N.dxdr_status_name(want)), document.GetProperty("name").GetString());
        return document;
    }

    private static nint Client()
    {
        var config = Utf8("""{"cache":"private","application":"csharp-tests/1"}""");
        Good(N.dxdr_client_new(config, (nuint)config.Length, out var client, out var error), error);
        return client;
    }

    private static nint Request(nint client, string json)
    {
        var bytes = Utf8(json);
        Good(N.dxdr_request_new(client, bytes, (nuint)bytes.Length, out var request, out var error), error);
        return request;
    }

    private static void Give(nint request, string name, string value)
    {
        var (bytes, nameBytes) = (Utf8(value), Utf8(name));
        Good(N.dxdr_secret_new_utf8(bytes, (nuint)bytes.Length, out var secret, out var error), error);
        Good(N.dxdr_request_set_secret(request, nameBytes, (nuint)nameBytes.Length, secret, out error), error);
        Same(Ok, N.dxdr_secret_free(secret));
    }

    private nint AppRequest(nint client, string value)
    {
        var request = Request(client, $$"""{"grant":"client_credentials","tenant_id":"{{tenant}}","client_id":"{{clientId}}","resource":"https://api.security.microsoft.com"}""");
        Give(request, "client_secret", value);
        return request;
    }

    private static string Value(nint token)
    {
        Same(Ok, N.dxdr_token_value(token, out var data, out var len));
        return Text(data, len);
    }

    private static JsonElement Decode(string token)
    {
        var bytes = Utf8(token);
        Good(N.dxdr_decode_claims(bytes, (nuint)bytes.Length, out var claims, out var error), error);
        return Json(claims);
    }

    private static int Wait(nint op)
    {
        Same(Ok, N.dxdr_op_wait(op, Long, out var state));
        return state;
    }

    /// <summary>All items of an operation, and the state it ends in; freed.</summary>
    private static (List<string> Items, int State, JsonElement? Error) Drain(nint op)
    {
        var items = new List<string>();
        int state;
        while ((state = Wait(op)) is Running or Event or Item)
        {
            if (state == Event)
            {
                Good(N.dxdr_op_take_event(op, out var notice, out var error), error);
                Same("none", Json(notice).GetProperty("reply").GetString());
            }
            else if (state == Item)
            {
                Good(N.dxdr_op_take_item(op, out var item, out var error), error);
                items.Add(Take(item));
            }
        }
        Good(N.dxdr_op_take_error(op, out var detail, out var own), own);
        JsonElement? document = detail == 0 ? null : Json(detail);
        Same(Ok, N.dxdr_op_free(op));
        return (items, state, document);
    }

    private static nint List(nint request, string query)
    {
        var bytes = Utf8(query);
        Good(N.dxdr_list_incidents_start(request, bytes, (nuint)bytes.Length, 0, out var op, out var error), error);
        return op;
    }

    private void VersionAndNames()
    {
        Same(1u, N.dxdr_abi_version() >> 16);
        Require(Version.TryParse(Marshal.PtrToStringUTF8(N.dxdr_version()), out _));
        Same("OK", Marshal.PtrToStringUTF8(N.dxdr_status_name(0)));
        Same("BAD_SECRET", Marshal.PtrToStringUTF8(N.dxdr_status_name(BadSecret)));
        Same("UNKNOWN", Marshal.PtrToStringUTF8(N.dxdr_status_name(-1)));
    }

    private void WrongArguments()
    {
        Bad(NullPointer, N.dxdr_client_new(null, 1, out var client, out var error), error);
        Same(0, client);
        Bad(BadUtf8, N.dxdr_client_new([0xff], 1, out client, out error), error);
        Bad(TooLarge, N.dxdr_client_new([1], nuint.MaxValue, out client, out error), error);
        var typo = Utf8("""{"cahce":"private"}""");
        Require(Bad(BadArgument, N.dxdr_client_new(typo, (nuint)typo.Length, out client, out error), error).GetProperty("message").GetString()!.Contains("cahce"));
        Bad(BadHandle, N.dxdr_client_describe(0x1234, out _, out error), error);
        Bad(NullPointer, N.dxdr_client_describe(0, out _, out error), error);
        Same(BadHandle, N.dxdr_buf_free(0x1234));
        Same(Ok, N.dxdr_buf_free(0));
        Same(BadHandle, N.dxdr_op_wait(-1, 0, out var state));
        Same(0, state);
        client = Client();
        Same(Ok, N.dxdr_client_free(client));
        Same(BadHandle, N.dxdr_client_free(client));
    }

    /// <summary>Without a managed copy: the unmanaged UTF-16 goes in as it is.</summary>
    private void ASecretAsSecureString()
    {
        using var secure = new SecureString();
        foreach (var c in secret)
        {
            secure.AppendChar(c);
        }
        var client = Client();
        var request = Request(client, $$"""{"grant":"client_credentials","tenant_id":"{{tenant}}","client_id":"{{clientId}}","resource":"https://api.security.microsoft.com"}""");
        var bstr = Marshal.SecureStringToBSTR(secure);
        nint handle;
        try
        {
            Good(N.dxdr_secret_new_utf16(bstr, (nuint)secure.Length, out handle, out var failure), failure);
        }
        finally
        {
            Marshal.ZeroFreeBSTR(bstr);
        }
        var name = Utf8("client_secret");
        Good(N.dxdr_request_set_secret(request, name, (nuint)name.Length, handle, out var error), error);
        // A client takes a secret of its own only where its configuration has a use for it.
        var proxy = Utf8("proxy_password");
        Require(Bad(BadArgument, N.dxdr_client_set_secret(client, proxy, (nuint)proxy.Length, handle, out error), error).GetProperty("hint").GetString()!.Contains("proxy_user"));
        Same(Ok, N.dxdr_secret_free(handle));
        Good(N.dxdr_acquire_token(request, 0, 0, out var token, out error), error);
        Same(Ok, N.dxdr_token_free(token));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    private void AWrongSecret()
    {
        const string wrong = "a-secret~that.is-wrong";
        var client = Client();
        var request = AppRequest(client, wrong);
        var status = N.dxdr_acquire_token(request, 0, 0, out var token, out var error);
        Same(0, token);
        var document = Bad(BadSecret, status, error);
        Require(!document.ToString().Contains(wrong));
        Require(document.GetProperty("hint").GetString()!.Length > 0);
        Same(7000215, document.GetProperty("aadsts").GetInt32());
        Require(!document.GetProperty("retryable").GetBoolean());
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>The card's three calls and the operation; what they bring is printed for the runner.</summary>
    private void TokenAndIncidents()
    {
        var client = Client();
        var request = AppRequest(client, secret);
        Good(N.dxdr_cached_token(request, out var token, out var error), error);
        Same(0, token);
        Good(N.dxdr_acquire_token(request, 0, 0, out token, out error), error);
        Same(Ok, N.dxdr_token_expires_on(token, out var expires));
        Require(expires > DateTimeOffset.UtcNow.ToUnixTimeSeconds() + 3000);
        Same(Ok, N.dxdr_token_id_token(token, out var data, out var len));
        Require(data == 0 && len == 0);
        Good(N.dxdr_token_describe(token, out var about, out error), error);
        var description = Take(about);
        Require(description.Contains("\"source\":\"network\"") && !description.Contains(Value(token)));
        var decoded = Decode(Value(token));

        Good(N.dxdr_get_incidents(request, null, 0, 0, 0, out var page, out error), error);
        var whole = Take(page);
        Good(N.dxdr_list_incidents_start(request, null, 0, 0, out var op, out error), error);
        var (records, state, _) = Drain(op);
        Same(Done, state);
        Require(records.Take(100).All(whole.Contains));
        var result = new
        {
            claims = decoded.GetProperty("claims"),
            page = Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(Utf8(whole))),
            incidents = records.Select(record => JsonSerializer.Deserialize<JsonElement>(record).GetProperty("incidentId").GetInt64()),
        };
        Console.WriteLine($"result {kind} {JsonSerializer.Serialize(result)}");

        Good(N.dxdr_cached_token(request, out var again, out error), error);
        Same(Value(token), Value(again));
        Same(Ok, N.dxdr_token_free(again));
        Good(N.dxdr_client_accounts(client, out var accounts, out error), error);
        var listed = Json(accounts);
        Same(1, listed.GetProperty("app_tokens").GetArrayLength());
        Same(0, listed.GetProperty("accounts").GetArrayLength());
        var list = Utf8("""{"accounts":"list"}""");
        Good(N.dxdr_client_accounts_start(client, list, (nuint)list.Length, 0, out var listing, out error), error);
        var (accountItems, listState, _) = Drain(listing);
        Same(Done, listState);
        Same(0, accountItems.Count);
        var nobody = Utf8("nobody");
        Bad(AccountNotFound, N.dxdr_client_remove_account(client, nobody, (nuint)nobody.Length, out error), error);
        Bad(AccountNotFound, N.dxdr_client_export_refresh_token(client, nobody, (nuint)nobody.Length, null, 0, out var exported, out error), error);
        Same(0, exported);
        Good(N.dxdr_client_clear_cache(client, out error), error);
        Good(N.dxdr_cached_token(request, out again, out error), error);
        Same(0, again);
        Same(Ok, N.dxdr_token_free(token));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    private void OneIncident()
    {
        var client = Client();
        var request = AppRequest(client, secret);
        var (records, _, _) = Drain(List(request, """{"first":1}"""));
        var id = JsonSerializer.Deserialize<JsonElement>(records.Single()).GetProperty("incidentId").GetInt64();
        nint Get(long wanted)
        {
            var query = Utf8($$"""{"id":{{wanted}}}""");
            Good(N.dxdr_get_incident_start(request, query, (nuint)query.Length, 0, out var op, out var error), error);
            return op;
        }
        var (one, state, _) = Drain(Get(id));
        Same(Done, state);
        Same(id, JsonSerializer.Deserialize<JsonElement>(one.Single()).GetProperty("incidentId").GetInt64());
        (one, state, var error) = Drain(Get(999_999_999));
        Same(Failed, state);
        Same(NotFound, error!.Value.GetProperty("code").GetInt32());
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    private void ABadFilter()
    {
        var client = Client();
        var request = AppRequest(client, secret);
        var (records, state, error) = Drain(List(request, """{"filter":"severity eq 'High'"}"""));
        Require(records.Count == 0 && state == Failed);
        Same(BadFilter, error!.Value.GetProperty("code").GetInt32());
        Require(error.Value.GetProperty("hint").GetString()!.Contains("severity"));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    private void Cancelling()
    {
        var client = Client();
        var request = AppRequest(client, secret);
        Good(N.dxdr_cancel_new(out var cancel, out var error), error);
        Same(Ok, N.dxdr_cancel_trigger(cancel));
        Bad(Cancelled, N.dxdr_acquire_token(request, 0, cancel, out var token, out error), error);
        Same(0, token);
        Same(Ok, N.dxdr_cancel_free(cancel));
        var op = List(request, "{}");
        Same(Ok, N.dxdr_op_cancel(op));
        var (_, state, detail) = Drain(op);
        Same(WasCancelled, state);
        Same(Cancelled, detail!.Value.GetProperty("code").GetInt32());
        // A person's sign-in: cancelled from another thread while this one waits.
        var person = Request(client, $$"""{"grant":"authorization_code","tenant_id":"{{tenant}}","client_id":"{{publicClientId}}","redirect_uri":"https://portal.azure.com","resource":"https://api.security.microsoft.com"}""");
        Good(N.dxdr_acquire_token_start(person, 0, out op, out error), error);
        while (Wait(op) == Event)
        {
            Good(N.dxdr_op_take_event(op, out var question, out error), error);
            if (Json(question).GetProperty("reply").GetString() == "required")
            {
                break;
            }
        }
        var asked = Stopwatch.StartNew();
        var other = new Thread(() => N.dxdr_op_cancel(op));
        other.Start();
        Same(WasCancelled, Wait(op));
        other.Join();
        Require(asked.ElapsedMilliseconds < 5000);
        Same(Ok, N.dxdr_op_free(op));
        Same(BadHandle, N.dxdr_op_free(op));
        Same(Ok, N.dxdr_request_free(person));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>The walk-through's redirect URI: the host asks a person for the address they landed on.</summary>
    private void APersonPastes()
    {
        var client = Client();
        var request = Request(client, $$"""{"grant":"authorization_code","tenant_id":"{{tenant}}","client_id":"{{publicClientId}}","redirect_uri":"https://portal.azure.com","resource":"https://api.security.microsoft.com"}""");
        Good(N.dxdr_acquire_token_start(request, 0, out var op, out var error), error);
        int state;
        while ((state = Wait(op)) == Event)
        {
            Good(N.dxdr_op_take_event(op, out var taken, out error), error);
            var document = Json(taken);
            if (document.GetProperty("kind").GetString() == "paste_redirect")
            {
                var id = document.GetProperty("id").GetUInt64();
                var landed = Utf8(Landed(document.GetProperty("url").GetString()!));
                Good(N.dxdr_op_reply(op, id, landed, (nuint)landed.Length, out error), error);
                Bad(BadArgument, N.dxdr_op_reply(op, id, landed, (nuint)landed.Length, out error), error);
            }
        }
        Same(Done, state);
        Good(N.dxdr_op_take_token(op, out var token, out error), error);
        Same("adele@fabrikam.example", Decode(Value(token)).GetProperty("summary").GetProperty("user").GetString());
        Same(Ok, N.dxdr_token_id_token(token, out _, out var len));
        Require(len > 0);
        Same(Ok, N.dxdr_token_free(token));
        Same(Ok, N.dxdr_op_free(op));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>Plays the browser: the emulator approves by itself and sends it on.</summary>
    private static string Landed(string url)
    {
        using var http = new HttpClient(new HttpClientHandler { AllowAutoRedirect = false, UseProxy = false });
        for (var step = 0; step < 10 && url.StartsWith("http://127.0.0.1:", StringComparison.Ordinal); step++)
        {
            using var response = http.Send(new HttpRequestMessage(HttpMethod.Get, url));
            url = response.Headers.Location?.OriginalString ?? throw new Wrong($"{url} leads nowhere: {(int)response.StatusCode}");
        }
        return url;
    }

    /// <summary>An X509Certificate2 whose key stays in .NET: the event asks for each signature.</summary>
    private void ACertificateOfDotNet()
    {
        using var key = RSA.Create(2048);
        var wanted = new CertificateRequest("CN=csharp", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using var certificate = wanted.CreateSelfSigned(DateTimeOffset.UtcNow.AddMinutes(-1), DateTimeOffset.UtcNow.AddDays(1));
        using var endpoint = new TcpListener(IPAddress.Loopback, 0);
        endpoint.Start();
        var sent = Task.Run(() => AnswerOnce(endpoint));
        var client = Client();
        var request = Request(client, $$"""
            {"grant":"client_credentials","authority":"http://{{endpoint.LocalEndpoint}}/{{tenant}}","client_id":"{{clientId}}",
             "scopes":["https://api.security.microsoft.com/.default"],
             "credential":{"type":"certificate","caller_signs":"{{Convert.ToBase64String(certificate.RawData)}}","send_x5c":true} }
            """);
        Good(N.dxdr_acquire_token_start(request, 0, out var op, out var error), error);
        int state;
        while (N.dxdr_op_wait(op, Long, out state) == Ok && state == Event)
        {
            Good(N.dxdr_op_take_event(op, out var taken, out error), error);
            var asked = Json(taken);
            if (asked.GetProperty("kind").GetString() != "sign")
            {
                continue;
            }
            Same(certificate.Thumbprint, asked.GetProperty("thumbprint").GetString());
            Same("PS256", asked.GetProperty("algorithm").GetString());
            using var own = certificate.GetRSAPrivateKey()!;
            var signature = own.SignData(asked.GetProperty("data").GetBytesFromBase64(), HashAlgorithmName.SHA256, RSASignaturePadding.Pss);
            var reply = Utf8(Convert.ToBase64String(signature));
            Good(N.dxdr_op_reply(op, asked.GetProperty("id").GetUInt64(), reply, (nuint)reply.Length, out error), error);
        }
        if (state == Failed)
        {
            Good(N.dxdr_op_take_error(op, out var detail, out error), error);
            throw new Wrong(Take(detail));
        }
        Same(Done, state);
        Require(sent.Result.Contains("&client_assertion=eyJ", StringComparison.Ordinal));
        Same(Ok, N.dxdr_op_free(op));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>Integrated Windows authentication: .NET sends the request with the account of the session, which the emulator does not ask for.</summary>
    private void AWindowsAccount()
    {
        var client = Client();
        var request = Request(client, $$"""{"grant":"integrated_windows","tenant_id":"{{tenant}}","client_id":"{{publicClientId}}","username":"lee@corp.fabrikam.example","resource":"https://api.security.microsoft.com"}""");
        Good(N.dxdr_acquire_token_start(request, 0, out var op, out var error), error);
        var asked = 0;
        int state;
        while ((state = Wait(op)) == Event)
        {
            Good(N.dxdr_op_take_event(op, out var taken, out error), error);
            var question = Json(taken);
            if (question.GetProperty("kind").GetString() == "negotiate")
            {
                asked++;
                var reply = Utf8(Sent(question));
                Good(N.dxdr_op_reply(op, question.GetProperty("id").GetUInt64(), reply, (nuint)reply.Length, out error), error);
            }
        }
        if (state == Failed)
        {
            Good(N.dxdr_op_take_error(op, out var detail, out error), error);
            throw new Wrong(Take(detail));
        }
        Same(Done, state);
        Same(1, asked);
        Good(N.dxdr_op_take_token(op, out var token, out error), error);
        Same("lee@corp.fabrikam.example", Decode(Value(token)).GetProperty("summary").GetProperty("user").GetString());
        Same(Ok, N.dxdr_token_free(token));
        Same(Ok, N.dxdr_op_free(op));
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>Sends what the event negotiate asks for; the reply to it.</summary>
    private static string Sent(JsonElement question)
    {
        using var http = new HttpClient(new HttpClientHandler { UseDefaultCredentials = true, AllowAutoRedirect = false });
        using var message = new HttpRequestMessage(new HttpMethod(question.GetProperty("method").GetString()!), question.GetProperty("url").GetString());
        message.Content = new ByteArrayContent(Utf8(question.GetProperty("body").GetString()!));
        foreach (var header in question.GetProperty("headers").EnumerateObject())
        {
            var headers = header.Name == "Content-Type" ? (System.Net.Http.Headers.HttpHeaders)message.Content.Headers : message.Headers;
            headers.TryAddWithoutValidation(header.Name, header.Value.GetString());
        }
        using var answer = http.Send(message);
        using var body = new StreamReader(answer.Content.ReadAsStream());
        return JsonSerializer.Serialize(new { status = (int)answer.StatusCode, body = body.ReadToEnd() });
    }

    /// <summary>A token endpoint that answers once; returns what it was sent.</summary>
    private static string AnswerOnce(TcpListener endpoint)
    {
        using var peer = endpoint.AcceptTcpClient();
        using var stream = peer.GetStream();
        var buffer = new byte[1 << 16];
        var (text, length) = ("", 0);
        while (!text.Contains("\r\n\r\n", StringComparison.Ordinal) || length < Expected(text))
        {
            var got = stream.Read(buffer, length, buffer.Length - length);
            if (got == 0)
            {
                break;
            }
            length += got;
            text = Encoding.ASCII.GetString(buffer, 0, length);
        }
        const string body = """{"token_type":"Bearer","expires_in":3599,"access_token":"aaa.bbb.ccc"}""";
        stream.Write(Utf8($"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: {body.Length}\r\n\r\n{body}"));
        return text;

        static int Expected(string text)
        {
            const string name = "content-length: ";
            var at = text.IndexOf(name, StringComparison.OrdinalIgnoreCase);
            var size = at < 0 ? 0 : int.Parse(text.AsSpan(at + name.Length, text.IndexOf('\r', at) - at - name.Length), CultureInfo.InvariantCulture);
            return text.IndexOf("\r\n\r\n", StringComparison.Ordinal) + 4 + size;
        }
    }

    private void ManyThreads()
    {
        var client = Client();
        var request = AppRequest(client, secret);
        var values = new string[32];
        Parallel.For(0, values.Length, new ParallelOptions { MaxDegreeOfParallelism = values.Length }, i =>
        {
            Good(N.dxdr_acquire_token(request, 0, 0, out var token, out var error), error);
            values[i] = Value(token);
            Same(Ok, N.dxdr_token_free(token));
        });
        Same(1, values.Distinct().Count());
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }

    /// <summary>What no other check calls.</summary>
    private void EverythingOnce()
    {
        var client = Client();
        Good(N.dxdr_client_describe(client, out var about, out var error), error);
        var described = Json(about);
        Same(N.dxdr_abi_version(), described.GetProperty("abi").GetUInt32());
        Require(described.GetProperty("user_agent").GetString()!.StartsWith("csharp-tests/1 ", StringComparison.Ordinal));
        var request = AppRequest(client, secret);
        Good(N.dxdr_request_describe(request, out about, out error), error);
        Same("client_credentials", Json(about).GetProperty("grant").GetString());
        Same(Ok, N.dxdr_request_free(request));
        Same(Ok, N.dxdr_client_free(client));
    }
}
