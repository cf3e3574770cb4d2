// Signs in to Microsoft Defender XDR, prints who the token is for, and lists the ten newest incidents.
//
//   dotnet run TENANT CLIENT_ID
//
// With AZURE_CLIENT_SECRET set, the app signs in by itself (application permission Incident.Read.All). Without it a person signs in with the browser
// (delegated permission Incident.Read, redirect URI http://localhost). DefenderXdr.cs is the wrapper; copy it into your project.

using DefenderXdr;

if (args.Length != 2)
{
    Console.Error.WriteLine("usage: dotnet run TENANT CLIENT_ID");
    return 2;
}
using var stop = new CancellationTokenSource();
Console.CancelKeyPress += (_, pressed) =>
{
    pressed.Cancel = true;
    stop.Cancel();
};
try
{
    using var client = new DefenderClient("incidents-example/1.0");
    using var request = Environment.GetEnvironmentVariable("AZURE_CLIENT_SECRET") is { Length: > 0 } secret
        ? client.AsApp(args[0], args[1], secret)
        : client.AsUser(args[0], args[1]);

    using var token = request.AcquireToken(stop.Token);
    var who = DefenderToken.Decode(token.Value).GetProperty("summary");
    Console.WriteLine($"signed in as: {who.GetProperty("user").GetString() ?? "app " + who.GetProperty("app_id").GetString()}");
    Console.WriteLine($"permissions:  {string.Join(", ", who.GetProperty("permissions").EnumerateArray())}");
    Console.WriteLine($"valid until:  {token.ExpiresOn:u}");

    foreach (var incident in request.ListIncidents(first: 10, cancel: stop.Token))
    {
        Console.WriteLine($"{incident.GetProperty("incidentId"),12}  {incident.GetProperty("severity"),-14} {incident.GetProperty("incidentName")}");
    }
    return 0;
}
catch (DefenderException e)
{
    Console.Error.WriteLine($"{e.Name}: {e.Message}");
    Console.Error.WriteLine(e.Hint);
    return 1;
}
catch (OperationCanceledException)
{
    Console.Error.WriteLine("cancelled");
    return 1;
}
