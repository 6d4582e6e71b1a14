-- wrk's side of the benchmark: sends DEPTH requests per write and prints the result as one line of JSON.
--
--   CONNECTIONS=64 wrk -t1 -c64 -d2s -s bench/pipeline.lua http://127.0.0.1:8000/async -- 16
--
-- wrk.format is replaced rather than a request() defined: wrk then builds the text once, not once per write,
-- and the generator stays as fast as without a script. With DEPTH > 1 a latency is that of the whole batch.
--
-- wrk "corrects" its latencies: for each one it invents others, at steps of the mean time between two
-- requests of a connection. That is for a load of fixed rate, wrk's has none, and behind pipelining it
-- invents fifteen for one. percentile() below takes the invention back exactly; it needs CONNECTIONS for it.

-- BODY=1024 in the environment makes the requests POST with so many bytes.

local body = tonumber(os.getenv("BODY")) or 0
if body > 0 then
   wrk.method = "POST"
   wrk.body = string.rep("x", body)
end

-- REQUESTS, in hexadecimal digits with commas in between, are sent in turn, as they are.

local requests = {}
for digits in (os.getenv("REQUESTS") or ""):gmatch("[^,]+") do
   table.insert(requests, (digits:gsub("..", function(pair)
      return string.char(tonumber(pair, 16))
   end)))
end
if #requests > 1 then
   local number = 0
   function request()
      number = number % #requests + 1
      return requests[number]
   end
end

local connections = tonumber(os.getenv("CONNECTIONS"))
local format_one = #requests == 1 and function()
   return requests[1]
end or wrk.format

function init(args)
   local depth = tonumber(args[1]) or 1
   wrk.format = function(...)
      return string.rep(format_one(...), depth)
   end
end

-- The share of wrk's corrected latencies that are <= value (microseconds).
local function share_up_to(latency, value)
   local low, high = 0, 100
   for _ = 1, 30 do
      local middle = (low + high) / 2
      local found = latency:percentile(middle)
      if found ~= 0 and found <= value then -- 0: past the end
         low = middle
      else
         high = middle
      end
   end
   return low
end

-- The share of real latencies that are > value, in the unit of share_up_to(). wrk adds each latency n at
-- n - step, n - 2 step ... above step; so the real ones above value are all those in (value, value + step].
local function share_above(latency, value, step)
   local from = math.max(value, step)
   local above = share_up_to(latency, from + step) - share_up_to(latency, from)
   if value < step then
      above = above + share_up_to(latency, step) - share_up_to(latency, value)
   end
   return above
end

local function percentile(latency, percent, step)
   local all = share_above(latency, latency.min - 1, step)
   local low, high = latency.min - 1, latency.max
   while high - low > 1 do
      local middle = math.floor((low + high) / 2)
      if share_above(latency, middle, step) <= all * (1 - percent / 100) then
         high = middle
      else
         low = middle
      end
   end
   return high
end

function done(summary, latency, requests)
   local errors = summary.errors
   local p50, p99 = latency:percentile(50), latency:percentile(99)
   if connections and summary.requests >= connections then
      local step = math.floor(summary.duration / math.floor(summary.requests / connections))
      p50, p99 = percentile(latency, 50, step), percentile(latency, 99, step)
   end
   io.write(string.format(
      'RESULT {"requests":%d,"duration_us":%d,"p50_us":%d,"p99_us":%d,"max_us":%d,'
      .. '"socket_errors":%d,"timeouts":%d,"bad_status":%d}\n',
      summary.requests, summary.duration, p50, p99, latency.max,
      errors.connect + errors.read + errors.write, errors.timeout, errors.status))
end
