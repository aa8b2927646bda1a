package fleet
import ("testing";"time";"fmt")
func show(t *testing.T, r *Result, err error, began time.Time) {
	if err!=nil {t.Fatal(err)}
	fmt.Printf("%-14s p50 %v p95 %v p99 %v max %v without %d; peak req before %d after %d; init/s %d deep %d; load %v off %.2f moves %d steps %d %v\n", r.Name, r.P(50).Round(time.Millisecond), r.P(95).Round(time.Millisecond), r.P(99).Round(time.Millisecond), r.P(100).Round(time.Millisecond), r.Without, r.Peak(r.Begin,0), r.Peak(0,time.Hour*100), r.PeakInitiations(), r.Deepest, r.Load, r.Off, r.Moves, r.Steps, time.Since(began).Round(time.Millisecond))
}
func TestScratch(t *testing.T) {
	for _, n := range []int{1000,10000} {
	o := Options{Nodes:n, Gateways:4, Hint:n, Seed:1}
	b:=time.Now()
	r, err := Town(o); show(t,r,err,b)
	b=time.Now()
	o2:=o; o2.OwnChoice=true
	r, err = Town(o2); show(t,r,err,b); b=time.Now()
	r, err = Outage(o,10*time.Minute,true); show(t,r,err,b); b=time.Now()
	r, err = Outage(o,10*time.Minute,false); show(t,r,err,b); b=time.Now()
	r, err = Flush(o); show(t,r,err,b); b=time.Now()
	}
}
